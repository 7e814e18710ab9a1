package io.thaw.descriptors;

import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.RandomAccessFile;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.StandardProtocolFamily;
import java.nio.channels.DatagramChannel;
import java.nio.channels.FileChannel;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;

/** Opens one of each kind in a method named for it, and prints what the agent knows. */
public final class Opener {

    private static final List<AutoCloseable> OPEN = new ArrayList<>();

    public static void main(String[] arguments) throws Exception {
        Path file = Files.createTempFile("opener", ".txt");
        inputStream(file);
        outputStream(file);
        randomAccess(file);
        channel(file);
        serverSocketAndAccepted();
        channels();
        selector();
        watch(file);
        closedAgain(file);
        Object json = Class.forName("io.thaw.descriptors.OpenDescriptors", true, null).getMethod("json").invoke(null);
        System.out.println(json);
        for (AutoCloseable open : OPEN) {
            open.close();
        }
        Files.delete(file);
    }

    private static void inputStream(Path file) throws Exception {
        OPEN.add(new FileInputStream(file.toFile()));
    }

    private static void outputStream(Path file) throws Exception {
        OPEN.add(new FileOutputStream(file.toFile(), true));
    }

    private static void randomAccess(Path file) throws Exception {
        RandomAccessFile opened = new RandomAccessFile(file.toFile(), "rw");
        OPEN.add(opened);
        viewAsChannel(opened);
    }

    // Opens nothing: it must not be taken for the opener.
    private static void viewAsChannel(RandomAccessFile file) {
        OPEN.add(file.getChannel());
    }

    private static void channel(Path file) throws Exception {
        OPEN.add(FileChannel.open(file, StandardOpenOption.READ));
    }

    private static void serverSocketAndAccepted() throws Exception {
        ServerSocket server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
        OPEN.add(server);
        connect(server);
        accept(server);
    }

    private static void connect(ServerSocket server) throws Exception {
        OPEN.add(new Socket(server.getInetAddress(), server.getLocalPort()));
    }

    private static void accept(ServerSocket server) throws Exception {
        OPEN.add(server.accept());
    }

    private static void channels() throws Exception {
        OPEN.add(SocketChannel.open());
        OPEN.add(DatagramChannel.open());
        OPEN.add(unixServer());
    }

    private static ServerSocketChannel unixServer() throws Exception {
        return ServerSocketChannel.open(StandardProtocolFamily.UNIX);
    }

    private static void selector() throws Exception {
        OPEN.add(Selector.open());
    }

    private static void watch(Path file) throws Exception {
        OPEN.add(FileSystems.getDefault().newWatchService());
    }

    private static void closedAgain(Path file) throws Exception {
        new FileInputStream(file.toFile()).close();
    }
}
