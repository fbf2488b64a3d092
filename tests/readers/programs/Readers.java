import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FsShell;
import org.apache.hadoop.hive.ql.parse.ParseDriver;
import org.apache.hadoop.io.BytesWritable;
import org.apache.hadoop.io.LongWritable;
import org.apache.hadoop.io.SequenceFile;
import org.apache.hadoop.io.Text;
import org.apache.hadoop.io.Writable;
import org.apache.hadoop.mapred.FileInputFormat;
import org.apache.hadoop.mapred.InputSplit;
import org.apache.hadoop.mapred.JobConf;
import org.apache.hadoop.mapred.RecordReader;
import org.apache.hadoop.mapred.Reporter;
import org.apache.hadoop.mapred.SequenceFileInputFormat;
import org.apache.hadoop.mapred.TextInputFormat;
import org.apache.hadoop.util.ToolRunner;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.SparkSession;
import scala.Tuple2;

/**
 * Hadoop's, Spark's, Hive's and Avro's readers behind one pipe: a line of JSON, {@code [what, argument...]}, is answered
 * by a line of JSON, {@code {"ok": ...}} or {@code {"failed": text}}. Bytes are given as ISO 8859-1 text.
 */
public final class Readers {
    private final Configuration hadoop;
    private final SparkSession spark;
    private final ClassLoader avroTools;

    private Readers(String fileSystem, String scratch, String avroToolsJar) throws Exception {
        spark = SparkSession.builder()
            .master("local[2]")
            .config("spark.ui.enabled", "false")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.sql.shuffle.partitions", "2")
            .config("spark.sql.session.timeZone", "UTC")
            .config("spark.sql.warehouse.dir", scratch + "/warehouse")
            .config("spark.hadoop.fs.defaultFS", fileSystem)
            .config("spark.hadoop.javax.jdo.option.ConnectionURL", "jdbc:derby:memory:tables;create=true")
            .config("spark.hadoop.datanucleus.schema.autoCreateAll", "true")
            .config("spark.hadoop.hive.metastore.schema.verification", "false")
            .enableHiveSupport()
            .getOrCreate();
        hadoop = spark.sparkContext().hadoopConfiguration();
        // It brings Hadoop's classes of a version of its own.
        avroTools = new URLClassLoader(new URL[] {Path.of(avroToolsJar).toUri().toURL()}, ClassLoader.getPlatformClassLoader());
    }

    /** Arguments: address of the file system, a directory for files that may be forgotten, the jar of avro-tools. */
    public static void main(String[] arguments) throws Exception {
        PrintStream answers = System.out;
        System.setOut(System.err);
        Readers readers = new Readers(arguments[0], arguments[1], arguments[2]);
        ObjectMapper json = new ObjectMapper();
        BufferedReader questions = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = questions.readLine(); line != null; line = questions.readLine()) {
            JsonNode question = json.readTree(line);
            Map<String, Object> answer = new HashMap<>();
            try {
                answer.put("ok", readers.answer(question.get(0).asText(), question.path(1).asText()));
            } catch (InvocationTargetException error) {
                answer.put("failed", error.getCause().toString());
            } catch (Exception | LinkageError error) {
                answer.put("failed", error.toString());
            }
            answers.write((json.writeValueAsString(answer) + "\n").getBytes(StandardCharsets.UTF_8));
            answers.flush();
        }
        readers.spark.stop();
    }

    private Object answer(String what, String argument) throws Exception {
        switch (what) {
            case "hdfs dfs -text":
            case "hdfs dfs -cat":
                return shell(what.substring("hdfs dfs ".length()), argument);
            case "TextInputFormat":
                return lines(argument, false);
            case "TextInputFormat, subdirectories ignored":
                return lines(argument, true);
            case "SequenceFile.Reader":
                return records(argument);
            case "avro-tools tojson":
                return tool("org.apache.avro.tool.DataFileReadTool", argument);
            case "spark sequenceFile":
                return ofSpark(argument);
            case "spark-sql":
                return spark.sql(argument).toJSON().collectAsList();
            case "hive parser":
                return new ParseDriver().parse(argument).toStringTree();
            default:
                throw new IllegalArgumentException(what);
        }
    }

    /** What Hadoop's shell prints, which it does to the standard output of this process. */
    private String shell(String command, String path) throws Exception {
        PrintStream before = System.out;
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        System.setOut(new PrintStream(printed, true));
        int status;
        try {
            status = ToolRunner.run(hadoop, new FsShell(hadoop), new String[] {command, path});
        } finally {
            System.setOut(before);
        }
        if (status != 0) {
            throw new IllegalStateException("status " + status);
        }
        return printed.toString(StandardCharsets.ISO_8859_1);
    }

    /** The lines that map tasks would get, from splits as small as the format allows. */
    private List<String> lines(String pattern, boolean subdirectoriesIgnored) throws Exception {
        JobConf job = new JobConf(hadoop);
        job.setBoolean(FileInputFormat.INPUT_DIR_NONRECURSIVE_IGNORE_SUBDIRS, subdirectoriesIgnored);
        FileInputFormat.setInputPaths(job, pattern);
        TextInputFormat format = new TextInputFormat();
        format.configure(job);
        List<String> found = new ArrayList<>();
        for (InputSplit split : format.getSplits(job, 4)) {
            RecordReader<LongWritable, Text> reader = format.getRecordReader(split, job, Reporter.NULL);
            LongWritable key = reader.createKey();
            Text value = reader.createValue();
            while (reader.next(key, value)) {
                found.add(new String(value.getBytes(), 0, value.getLength(), StandardCharsets.ISO_8859_1));
            }
            reader.close();
        }
        return found;
    }

    /** The class of the values, then each key with its value. */
    private List<List<String>> records(String path) throws Exception {
        List<List<String>> found = new ArrayList<>();
        try (SequenceFile.Reader reader =
            new SequenceFile.Reader(hadoop, SequenceFile.Reader.file(new org.apache.hadoop.fs.Path(path)))) {
            found.add(List.of(reader.getValueClassName()));
            LongWritable key = new LongWritable();
            Writable value = (Writable) reader.getValueClass().getDeclaredConstructor().newInstance();
            while (reader.next(key, value)) {
                found.add(List.of(key.toString(), bytes(value)));
            }
        }
        return found;
    }

    private List<String> ofSpark(String pattern) {
        JobConf job = new JobConf(hadoop);
        FileInputFormat.setInputPaths(job, pattern);
        return JavaSparkContext.fromSparkContext(spark.sparkContext())
            .<LongWritable, Writable, SequenceFileInputFormat<LongWritable, Writable>>hadoopRDD(
                job, sequenceFiles(), LongWritable.class, Writable.class)
            .map((Tuple2<LongWritable, Writable> pair) -> bytes(pair._2()))
            .collect();
    }

    @SuppressWarnings("unchecked")
    private static Class<SequenceFileInputFormat<LongWritable, Writable>> sequenceFiles() {
        return (Class<SequenceFileInputFormat<LongWritable, Writable>>) (Class<?>) SequenceFileInputFormat.class;
    }

    private static String bytes(Writable value) {
        if (value instanceof Text) {
            return new String(((Text) value).getBytes(), 0, ((Text) value).getLength(), StandardCharsets.ISO_8859_1);
        }
        return new String(((BytesWritable) value).copyBytes(), StandardCharsets.ISO_8859_1);
    }

    /** What a tool of avro-tools prints. */
    private String tool(String name, String path) throws Exception {
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        PrintStream out = new PrintStream(printed, true);
        ClassLoader before = Thread.currentThread().getContextClassLoader();
        Thread.currentThread().setContextClassLoader(avroTools);
        try {
            Object tool = avroTools.loadClass(name).getDeclaredConstructor().newInstance();
            Object status = tool.getClass()
                .getMethod("run", InputStream.class, PrintStream.class, PrintStream.class, List.class)
                .invoke(tool, new ByteArrayInputStream(new byte[0]), out, System.err, List.of(path));
            if (!status.equals(0)) {
                throw new IllegalStateException("status " + status);
            }
        } finally {
            Thread.currentThread().setContextClassLoader(before);
        }
        return printed.toString(StandardCharsets.UTF_8);
    }
}
