package io.thaw.testfn;

/** Can't be initialised. */
public class FailingInit {

    private static final int NEVER = fail();

    private static int fail() {
        throw new IllegalStateException("static block fails on purpose");
    }

    public String call(String body) {
        return "never " + NEVER;
    }
}
