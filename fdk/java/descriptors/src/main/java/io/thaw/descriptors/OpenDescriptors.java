package io.thaw.descriptors;

import java.io.FileDescriptor;
import java.lang.ref.WeakReference;
import java.lang.reflect.Field;
import java.net.SocketImpl;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Who opened each file descriptor of this process, as far as the JDK's own classes opened it. Called by the classes that
 * {@link DescriptorHooks} changes, so it lives on the boot class path and must neither throw nor open anything.
 *
 * <p>Threads: any.
 */
public final class OpenDescriptors {

    private static final int MOST_FRAMES = 24;
    private static final Map<Integer, Opening> OPENINGS = new ConcurrentHashMap<>();
    private static volatile Field number;
    private static volatile Field socketDescriptor;

    private OpenDescriptors() {
    }

    // The number is the JDK's to reuse: the descriptor's object says whether it still means the same file.
    private record Opening(WeakReference<FileDescriptor> descriptor, Throwable trace) {
    }

    /** Makes the JDK's fields readable; its packages have been opened to this class before. */
    static void start() throws ReflectiveOperationException {
        Field descriptor = SocketImpl.class.getDeclaredField("fd");
        descriptor.setAccessible(true);
        socketDescriptor = descriptor;
        Field fd = FileDescriptor.class.getDeclaredField("fd");
        fd.setAccessible(true);
        number = fd;
    }

    /** The descriptor has just been opened, or is already known: the first to tell of it is nearest to the opening. */
    public static void opened(FileDescriptor descriptor) {
        try {
            int fd = numberOf(descriptor);
            if (fd < 0) {
                return;
            }
            Opening known = OPENINGS.get(fd);
            if (known == null || known.descriptor == null || known.descriptor.get() != descriptor) {
                OPENINGS.put(fd, new Opening(new WeakReference<>(descriptor), new Throwable()));
            }
        } catch (Throwable e) {
            // The function's own work must not fail for this.
        }
    }

    /** A descriptor that the JDK keeps as a mere number: an epoll, an inotify. */
    public static void opened(int fd) {
        try {
            if (number != null && fd >= 0) {
                OPENINGS.put(fd, new Opening(null, new Throwable()));
            }
        } catch (Throwable e) {
            // As above.
        }
    }

    /** A socket has been accepted into {@code socket}, a {@link SocketImpl}. */
    public static void accepted(Object socket) {
        try {
            if (socketDescriptor != null && socket instanceof SocketImpl) {
                opened((FileDescriptor) socketDescriptor.get(socket));
            }
        } catch (Throwable e) {
            // As above.
        }
    }

    /** @return {@code {"descriptors":[{"fd":5,"opened_by":["…"]}]}}: of those that are open now, innermost frame first */
    public static String json() {
        StringBuilder json = new StringBuilder("{\"descriptors\":[");
        boolean first = true;
        for (Map.Entry<Integer, Opening> entry : OPENINGS.entrySet()) {
            int fd = entry.getKey();
            if (!isOpen(fd, entry.getValue())) {
                OPENINGS.remove(fd, entry.getValue());
                continue;
            }
            json.append(first ? "" : ",").append("{\"fd\":").append(fd).append(",\"opened_by\":[");
            appendFrames(json, entry.getValue().trace.getStackTrace());
            json.append("]}");
            first = false;
        }
        return json.append("]}").toString();
    }

    private static int numberOf(FileDescriptor descriptor) throws IllegalAccessException {
        return number == null || descriptor == null ? -1 : number.getInt(descriptor);
    }

    private static boolean isOpen(int fd, Opening opening) {
        if (opening.descriptor != null) {
            FileDescriptor descriptor = opening.descriptor.get();
            try {
                if (descriptor == null || numberOf(descriptor) != fd) {
                    return false;
                }
            } catch (IllegalAccessException e) {
                return false;
            }
        }
        return Files.exists(Path.of("/proc/self/fd", Integer.toString(fd)), LinkOption.NOFOLLOW_LINKS);
    }

    // From the first frame that is not the JDK's, if there is one: the JDK's own way to the system call tells nobody anything.
    private static void appendFrames(StringBuilder json, StackTraceElement[] frames) {
        int begin = 0;
        while (begin < frames.length && isPlatform(frames[begin])) {
            begin++;
        }
        if (begin == frames.length) {
            begin = Math.min(1, frames.length);
        }
        for (int i = begin; i < frames.length && i < begin + MOST_FRAMES; i++) {
            json.append(i > begin ? "," : "");
            quote(json, frames[i].getClassName() + "." + frames[i].getMethodName() + "(" + frames[i].getFileName() + ":"
                    + frames[i].getLineNumber() + ")");
        }
    }

    private static boolean isPlatform(StackTraceElement frame) {
        String module = frame.getModuleName();
        return frame.getClassName().equals(OpenDescriptors.class.getName())
                || module != null && (module.startsWith("java.") || module.startsWith("jdk."));
    }

    private static void quote(StringBuilder json, String text) {
        json.append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == '"' || c == '\\') {
                json.append('\\').append(c);
            } else if (c < ' ') {
                json.append(' ');
            } else {
                json.append(c);
            }
        }
        json.append('"');
    }
}
