import java.util.ArrayList;
import java.util.List;

/** Runs steps one after the other and prints a line for each: "ok NAME", or "FAILED NAME: why". */
final class Steps {
    interface Step {
        void run() throws Exception;
    }

    private final List<AutoCloseable> open = new ArrayList<>();
    private int failed = 0;

    void step(String name, Step step) {
        try {
            step.run();
            System.out.println("ok " + name);
        } catch (Throwable error) {
            failed++;
            System.out.println("FAILED " + name + ": " + error);
        }
        for (AutoCloseable thing : open) {
            try {
                thing.close();
            } catch (Exception error) {
                System.out.println("FAILED " + name + ", closing: " + error);
            }
        }
        open.clear();
    }

    /** Has something closed behind the step that is running, however it ends. */
    <T> T keep(T thing, AutoCloseable closing) {
        open.add(closing);
        return thing;
    }

    static void check(boolean true_, String expected) {
        if (!true_) {
            throw new IllegalStateException("expected " + expected);
        }
    }

    void end() {
        System.out.println("done, " + failed + " failed");
        System.exit(failed == 0 ? 0 : 1);
    }
}
