package io.thaw.fdk.runtime.function;

/**
 * The function's command, {@code fully.qualified.Class::method}, in its two parts.
 *
 * @param className the class's name
 * @param methodName the method's name
 */
public record FunctionName(String className, String methodName) {

    /**
     * @param command the command's only argument
     * @return its parts
     * @throws IllegalArgumentException when it is not of that form
     */
    public static FunctionName parse(String command) {
        int separator = command.indexOf("::");
        if (separator <= 0 || separator + 2 == command.length() || command.indexOf("::", separator + 2) >= 0) {
            throw new IllegalArgumentException(
                    "function command \"" + command + "\" is malformed: write fully.qualified.Class::method");
        }
        return new FunctionName(command.substring(0, separator), command.substring(separator + 2));
    }

    @Override
    public String toString() {
        return className + "::" + methodName;
    }
}
