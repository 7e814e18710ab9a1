package io.thaw.descriptors;

import java.lang.instrument.Instrumentation;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;

/**
 * The Java agent ({@code -javaagent:…/thaw-descriptors-0.1.0.jar}): from its start on, every descriptor that the JDK opens
 * is remembered with its stack. What fails here is said on standard error, and the function runs without it.
 */
public final class DescriptorAgent {

    private DescriptorAgent() {
    }

    /** Called by the JVM before the program's main class. */
    public static void premain(String arguments, Instrumentation instrumentation) {
        try {
            Module here = OpenDescriptors.class.getModule();
            instrumentation.redefineModule(Object.class.getModule(), Set.of(here), Map.of(),
                    Map.of("java.io", Set.of(here), "java.net", Set.of(here)), Set.of(), Map.of());
            OpenDescriptors.start();
            instrumentation.addTransformer(new DescriptorHooks(), true);
            List<Class<?>> classes = new ArrayList<>();
            Stream.of(DescriptorHooks.WITH_FD, DescriptorHooks.MAKERS, DescriptorHooks.WITH_NUMBER,
                    Set.of(DescriptorHooks.ACCEPTING)).flatMap(Set::stream).forEach(name -> {
                        try {
                            classes.add(Class.forName(name.replace('/', '.'), false, null));
                        } catch (ClassNotFoundException e) {
                            System.err.println("thaw-descriptors: this JDK has no " + name + "; what it opens is not traced");
                        }
                    });
            instrumentation.retransformClasses(classes.toArray(new Class<?>[0]));
        } catch (ReflectiveOperationException | RuntimeException | LinkageError
                | java.lang.instrument.UnmodifiableClassException e) {
            System.err.println("thaw-descriptors: descriptors are not traced: " + e);
        }
    }
}
