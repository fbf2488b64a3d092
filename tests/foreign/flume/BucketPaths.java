import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Calendar;
import java.util.HashMap;
import java.util.Map;
import java.util.TimeZone;
import org.apache.flume.formatter.output.BucketPath;

/**
 * What Flume's HDFS sink makes of its escapes: a line of {@code template, timestamp, zone, unit, value}, with tabs
 * between, is answered by a line. Without a unit nothing is rounded.
 */
public final class BucketPaths {
    private static final Map<String, Integer> UNITS =
        Map.of("second", Calendar.SECOND, "minute", Calendar.MINUTE, "hour", Calendar.HOUR_OF_DAY);

    private BucketPaths() {}

    public static void main(String[] arguments) throws Exception {
        PrintStream answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        BufferedReader questions = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = questions.readLine(); line != null; line = questions.readLine()) {
            String[] words = line.split("\t", -1);
            Map<String, String> headers = new HashMap<>(Map.of("timestamp", words[1], "host", "web1"));
            boolean rounds = !words[3].isEmpty();
            int unit = rounds ? UNITS.get(words[3]) : Calendar.SECOND;
            TimeZone zone = TimeZone.getTimeZone(words[2]);
            answers.println(
                BucketPath.escapeString(words[0], headers, zone, rounds, unit, Integer.parseInt(words[4]), false));
        }
    }
}
