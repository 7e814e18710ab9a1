package io.thaw.fdk.runtime;

import java.io.IOException;
import java.io.InputStream;
import java.util.Properties;

/** How this runtime names itself to the platform. */
final class FdkVersion {

    /** The release, as {@code 0.1.0}. */
    static final String RELEASE = readRelease();
    /** {@code thaw-fdk-java/<release>}. */
    static final String PRODUCT = "thaw-fdk-java/" + RELEASE;
    /** The value of the Fn-Fdk-Version header. */
    static final String FDK = PRODUCT + " (jvm=" + System.getProperty("java.vm.name") + ", jvmv="
            + System.getProperty("java.version") + ")";
    /** The value of the Fn-Fdk-Runtime header. */
    static final String RUNTIME =
            "java/" + System.getProperty("java.vm.name") + " " + System.getProperty("java.version");

    private FdkVersion() {
    }

    private static String readRelease() {
        try (InputStream in = FdkVersion.class.getResourceAsStream("version.properties")) {
            Properties properties = new Properties();
            if (in != null) {
                properties.load(in);
            }
            return properties.getProperty("version", "unknown");
        } catch (IOException e) {
            return "unknown";
        }
    }
}
