import java.net.URI;
import java.nio.charset.StandardCharsets;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;

/**
 * Writes files of given sizes, one after the other, as a Java program does: under a hidden name, then renamed. Prints the seconds that took, without
 * those of its start and of a first file.
 *
 * <p>Arguments: address of a directory, then sizes in bytes.
 */
public final class WriteFiles {
    public static void main(String[] arguments) throws Exception {
        Path directory = new Path(arguments[0]);
        byte[] block = "2026-01-01T00:00:00Z INFO checkout served basket 4711 of customer 815 in 23 ms\n".repeat(13_000)
            .getBytes(StandardCharsets.US_ASCII);
        try (FileSystem files = FileSystem.get(URI.create(arguments[0]), new Configuration())) {
            write(files, directory, "warm", block, block.length);
            long begin = System.nanoTime();
            for (int number = 1; number < arguments.length; number++) {
                write(files, directory, Integer.toString(number), block, Long.parseLong(arguments[number]));
            }
            System.out.println((System.nanoTime() - begin) / 1e9);
        }
    }

    private static void write(FileSystem files, Path directory, String name, byte[] block, long size) throws Exception {
        Path hidden = new Path(directory, "_" + name);
        try (FSDataOutputStream file = files.create(hidden, false)) {
            for (long left = size; left > 0; left -= block.length) {
                file.write(block, 0, (int) Math.min(left, block.length));
            }
        }
        if (!files.rename(hidden, new Path(directory, name))) {
            throw new IllegalStateException(hidden + " cannot be renamed");
        }
    }
}
