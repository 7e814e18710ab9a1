package io.thaw.testfn;

import java.io.FileInputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.ArrayList;
import java.util.List;

/** Opens what keeps it from being frozen, and holds it. */
public class Holder {

    private final List<AutoCloseable> held = new ArrayList<>();

    public String hold(String order) throws IOException, InterruptedException {
        String[] words = order.strip().split(" ", 2);
        switch (words[0]) {
            case "tcp":
                return "connected to " + connect();
            case "file":
                held.add(openFile(words[1]));
                return "opened";
            case "sleep":
                Thread.sleep(Long.parseLong(words[1]));
                return "slept";
            default:
                return "holds " + held.size();
        }
    }

    private FileInputStream openFile(String path) throws IOException {
        return new FileInputStream(path);
    }

    // To itself: containers of tests reach nobody else.
    private int connect() throws IOException {
        try (ServerSocket listener = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            held.add(new Socket(InetAddress.getLoopbackAddress(), listener.getLocalPort()));
            held.add(listener.accept());
            return listener.getLocalPort();
        }
    }
}
