package jdk.crac;

/** A checkpoint was refused or failed; the suppressed exceptions are all the causes. */
public class CheckpointException extends Exception {

    private static final long serialVersionUID = 1L;

    /** Makes one whose causes are to be added as suppressed exceptions. */
    public CheckpointException() {
    }

    /** @param message what went wrong */
    public CheckpointException(String message) {
        super(message);
    }
}
