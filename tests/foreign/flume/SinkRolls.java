package org.apache.flume.sink.hdfs;

import com.google.gson.Gson;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.Delayed;
import java.util.concurrent.FutureTask;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.apache.flume.Context;
import org.apache.flume.Event;
import org.apache.flume.Transaction;
import org.apache.flume.channel.MemoryChannel;
import org.apache.flume.event.EventBuilder;
import org.apache.flume.formatter.output.BucketPath;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.io.BytesWritable;
import org.apache.hadoop.io.SequenceFile;
import org.apache.hadoop.io.Writable;
import org.apache.hadoop.io.compress.CompressionCodec;
import org.apache.hadoop.io.compress.CompressionCodecFactory;

/**
 * Flume's HDFS sink behind its memory channel, on a clock that stands still until it is moved. It is in the sink's
 * package because only there can that clock be had.
 *
 * <p>A line of JSON is answered by a line. It has a {@code directory}, {@code settings} and {@code steps}, which put
 * events, each its headers and its body, or move the clock by seconds; then the sink is stopped. The answer is what
 * stands in the directory after each step and in the end, and the bodies in its files and in those of other directories,
 * {@code others}, as Hadoop reads them.
 */
public final class SinkRolls {
    private static final Gson GSON = new Gson();

    private SinkRolls() {}

    public static void main(String[] arguments) throws Exception {
        PrintStream answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        BufferedReader questions = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = questions.readLine(); line != null; line = questions.readLine()) {
            JsonObject question = GSON.fromJson(line, JsonObject.class);
            boolean sequence = question.getAsJsonObject("settings").get("hdfs.fileType").getAsString().startsWith("Seq");
            Map<String, Object> answer = new HashMap<>();
            answer.put("seen", run(question));
            answer.put("files", read(new File(question.get("directory").getAsString()), sequence));
            List<Map<String, List<String>>> others = new ArrayList<>();
            for (JsonElement other : question.getAsJsonArray("others")) {
                others.add(read(new File(other.getAsString()), sequence));
            }
            answer.put("others", others);
            answers.println(GSON.toJson(answer));
        }
    }

    private static List<Set<String>> run(JsonObject question) throws Exception {
        File directory = new File(question.get("directory").getAsString());
        Map<String, String> settings = new HashMap<>();
                question.getAsJsonObject("settings").entrySet().forEach(
            entry -> settings.put(entry.getKey(), entry.getValue().getAsString()));
        String below = settings.getOrDefault("hdfs.path", "");
        settings.put("hdfs.path", "file://" + directory + (below.isEmpty() ? "" : "/" + below));
        settings.put("hdfs.useRawLocalFileSystem", "true");
        MemoryChannel channel = new MemoryChannel() {
            @Override
            public Event take() {
                passNames(directory);
                return super.take();
            }
        };
        channel.configure(new Context(Map.of("capacity", "10000", "transactionCapacity", "10000", "keep-alive", "0")));
        channel.start();
        HDFSEventSink sink = new HDFSEventSink();
        sink.setName("k");
        sink.setChannel(channel);
        sink.configure(new Context(settings));
        sink.start();
        Timers timers = new Timers(question.get("epoch_ms").getAsLong());
        Field field = HDFSEventSink.class.getDeclaredField("timedRollerPool");
        field.setAccessible(true);
        ((ScheduledThreadPoolExecutor) field.get(sink)).shutdown();
        field.set(sink, timers);
        BucketPath.setClock(() -> timers.nowMs);
        List<Set<String>> seen = new ArrayList<>();
        for (JsonElement step : question.getAsJsonArray("steps")) {
            if (step.isJsonArray()) {
                int left = put(channel, step.getAsJsonArray());
                for (int batch = Integer.parseInt(settings.getOrDefault("hdfs.batchSize", "100")); left > 0; left -= batch) {
                    sink.process();
                }
            } else {
                timers.advance(step.getAsLong());
            }
            seen.add(list(directory));
        }
        sink.stop();
        channel.stop();
        seen.add(list(directory));
        return seen;
    }

    private static int put(MemoryChannel channel, JsonArray events) {
        Transaction transaction = channel.getTransaction();
        transaction.begin();
        for (JsonElement element : events) {
            JsonArray event = element.getAsJsonArray();
            Map<String, String> headers = new HashMap<>();
            event.get(0).getAsJsonObject().entrySet().forEach(
                entry -> headers.put(entry.getKey(), entry.getValue().getAsString()));
            Event made = EventBuilder.withBody(event.get(1).getAsString().getBytes(StandardCharsets.UTF_8), headers);
            channel.put(made);
        }
        transaction.commit();
        transaction.close();
        return events.size();
    }

    /** Waits until the time of day is past all names: a new writer counts from it, and would overwrite what has its. */
    private static void passNames(File directory) {
        long last = 0;
        for (String name : list(directory)) {
            for (String word : name.split("\\.")) {
                last = word.matches("\\d{13}") ? Math.max(last, Long.parseLong(word)) : last;
            }
        }
        while (System.currentTimeMillis() <= last) {
            Thread.onSpinWait();
        }
    }

    private static Set<String> list(File directory) {
        Set<String> found = new TreeSet<>();
        list(directory, "", found);
        return found;
    }

    private static void list(File directory, String path, Set<String> found) {
        File[] entries = directory.listFiles();
        for (File entry : entries == null ? new File[0] : entries) {
            if (entry.isDirectory() && !entry.getName().startsWith(".")) {
                list(entry, path + entry.getName() + "/", found);
            } else if (entry.isFile() && !entry.getName().startsWith(".")) {
                found.add(path + entry.getName());
            }
        }
    }

    private static Map<String, List<String>> read(File directory, boolean sequence) throws IOException {
        Map<String, List<String>> bodies = new TreeMap<>();
        for (String name : list(directory)) {
            Path path = new Path(new File(directory, name).toURI());
            bodies.put(name, sequence ? records(path) : lines(path));
        }
        return bodies;
    }

    private static List<String> records(Path path) throws IOException {
        List<String> found = new ArrayList<>();
        Configuration configuration = new Configuration();
        try (SequenceFile.Reader reader = new SequenceFile.Reader(configuration, SequenceFile.Reader.file(path))) {
            Writable key = org.apache.hadoop.util.ReflectionUtils.newInstance(
                reader.getKeyClass().asSubclass(Writable.class), configuration);
            BytesWritable value = new BytesWritable();
            while (reader.next(key, value)) {
                found.add(new String(value.copyBytes(), StandardCharsets.UTF_8));
            }
        }
        return found;
    }

    private static List<String> lines(Path path) throws IOException {
        Configuration configuration = new Configuration();
        CompressionCodec codec = new CompressionCodecFactory(configuration).getCodec(path);
        FileSystem files = FileSystem.getLocal(configuration).getRawFileSystem();
        try (InputStream raw = files.open(path);
                InputStream plain = codec == null ? raw : codec.createInputStream(raw);
                BufferedReader reader = new BufferedReader(new InputStreamReader(plain, StandardCharsets.UTF_8))) {
            return reader.lines().toList();
        }
    }

    /** What the sink plans for later happens when its clock is moved. */
    private static final class Timers extends ScheduledThreadPoolExecutor {
        private final List<Timer<?>> planned = new ArrayList<>();
        private volatile long nowMs;

        Timers(long epochMs) {
            super(1);
            nowMs = epochMs;
        }

        @Override
        public synchronized <V> ScheduledFuture<V> schedule(Callable<V> what, long delay, TimeUnit unit) {
            Timer<V> timer = new Timer<>(what, nowMs + unit.toMillis(delay));
            planned.add(timer);
            return timer;
        }

        void advance(long seconds) {
            long until = nowMs + 1000 * seconds;
            for (Timer<?> next = next(until); next != null; next = next(until)) {
                nowMs = next.dueMs;
                next.run();
            }
            nowMs = until;
        }

        private synchronized Timer<?> next(long untilMs) {
            planned.removeIf(FutureTask::isDone);
            return planned.stream().filter(timer -> timer.dueMs <= untilMs)
                .min(Comparator.comparingLong(timer -> timer.dueMs)).orElse(null);
        }
    }

    private static final class Timer<V> extends FutureTask<V> implements ScheduledFuture<V> {
        private final long dueMs;

        Timer(Callable<V> what, long dueMs) {
            super(what);
            this.dueMs = dueMs;
        }

        @Override
        public long getDelay(TimeUnit unit) {
            throw new UnsupportedOperationException();
        }

        @Override
        public int compareTo(Delayed other) {
            throw new UnsupportedOperationException();
        }
    }
}
