package jdk.crac;

/** Resources could not go on after a restore; the suppressed exceptions are all the causes. */
public class RestoreException extends Exception {

    private static final long serialVersionUID = 1L;

    /** Makes one whose causes are to be added as suppressed exceptions. */
    public RestoreException() {
    }

    /** @param message what went wrong */
    public RestoreException(String message) {
        super(message);
    }
}
