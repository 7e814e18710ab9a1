package io.thaw.descriptors;

import java.lang.instrument.ClassFileTransformer;
import java.security.ProtectionDomain;
import java.util.HashSet;
import java.util.Set;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassVisitor;
import org.objectweb.asm.ClassWriter;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

/**
 * Makes the JDK's classes that open descriptors tell {@link OpenDescriptors}. Only straight calls are put in front of
 * returns, so that no stack map changes; what a JDK has not (a field by another name) is left as it is.
 */
final class DescriptorHooks implements ClassFileTransformer {

    private static final String TOLD = "io/thaw/descriptors/OpenDescriptors";
    private static final String DESCRIPTOR = "Ljava/io/FileDescriptor;";

    /** Classes whose constructors leave a FileDescriptor in their field {@code fd}. */
    static final Set<String> WITH_FD = Set.of("java/io/FileInputStream", "java/io/FileOutputStream",
            "java/io/RandomAccessFile", "sun/nio/ch/FileChannelImpl", "sun/nio/ch/SocketChannelImpl",
            "sun/nio/ch/ServerSocketChannelImpl", "sun/nio/ch/DatagramChannelImpl");
    /** Classes whose static methods answer new descriptors. */
    static final Set<String> MAKERS = Set.of("sun/nio/ch/Net", "sun/nio/ch/UnixDomainSockets");
    /** Classes whose constructors leave a number in a field: by its name. */
    static final Set<String> WITH_NUMBER = Set.of("sun/nio/ch/EPollSelectorImpl", "sun/nio/fs/LinuxWatchService$Poller");
    static final String ACCEPTING = "sun/nio/ch/NioSocketImpl";

    @Override
    public byte[] transform(Module module, ClassLoader loader, String name, Class<?> redefined, ProtectionDomain domain,
            byte[] bytes) {
        if (name == null || loader != null
                || !(WITH_FD.contains(name) || MAKERS.contains(name) || WITH_NUMBER.contains(name) || name.equals(ACCEPTING))) {
            return null;
        }
        ClassReader reader = new ClassReader(bytes);
        Fields fields = new Fields();
        reader.accept(fields, ClassReader.SKIP_CODE | ClassReader.SKIP_DEBUG | ClassReader.SKIP_FRAMES);
        ClassWriter writer = new ClassWriter(reader, ClassWriter.COMPUTE_MAXS);
        reader.accept(new Hooks(writer, name, fields.names), 0);
        return writer.toByteArray();
    }

    private static final class Fields extends ClassVisitor {
        private final Set<String> names = new HashSet<>();

        Fields() {
            super(Opcodes.ASM9);
        }

        @Override
        public org.objectweb.asm.FieldVisitor visitField(int access, String name, String type, String signature, Object value) {
            names.add(name + " " + type);
            return null;
        }
    }

    private static final class Hooks extends ClassVisitor {
        private final String owner;
        private final Set<String> fields;

        Hooks(ClassVisitor next, String owner, Set<String> fields) {
            super(Opcodes.ASM9, next);
            this.owner = owner;
            this.fields = fields;
        }

        @Override
        public MethodVisitor visitMethod(int access, String name, String type, String signature, String[] exceptions) {
            MethodVisitor next = super.visitMethod(access, name, type, signature, exceptions);
            boolean constructor = name.equals("<init>");
            if (constructor && WITH_FD.contains(owner) && fields.contains("fd " + DESCRIPTOR)) {
                return new BeforeReturn(next, Opcodes.RETURN, method -> {
                    method.visitVarInsn(Opcodes.ALOAD, 0);
                    method.visitFieldInsn(Opcodes.GETFIELD, owner, "fd", DESCRIPTOR);
                    tell(method, "opened", "(" + DESCRIPTOR + ")V");
                });
            }
            if (constructor && WITH_NUMBER.contains(owner)) {
                String field = fields.contains("epfd I") ? "epfd" : fields.contains("ifd I") ? "ifd" : null;
                if (field != null) {
                    return new BeforeReturn(next, Opcodes.RETURN, method -> {
                        method.visitVarInsn(Opcodes.ALOAD, 0);
                        method.visitFieldInsn(Opcodes.GETFIELD, owner, field, "I");
                        tell(method, "opened", "(I)V");
                    });
                }
            }
            if (MAKERS.contains(owner) && (access & Opcodes.ACC_STATIC) != 0 && (access & Opcodes.ACC_NATIVE) == 0
                    && type.endsWith(")" + DESCRIPTOR)) {
                return new BeforeReturn(next, Opcodes.ARETURN, method -> {
                    method.visitInsn(Opcodes.DUP);
                    tell(method, "opened", "(" + DESCRIPTOR + ")V");
                });
            }
            if (owner.equals(ACCEPTING) && name.equals("accept") && type.equals("(Ljava/net/SocketImpl;)V")) {
                return new BeforeReturn(next, Opcodes.RETURN, method -> {
                    method.visitVarInsn(Opcodes.ALOAD, 1);
                    tell(method, "accepted", "(Ljava/lang/Object;)V");
                });
            }
            return next;
        }

        private static void tell(MethodVisitor method, String name, String type) {
            method.visitMethodInsn(Opcodes.INVOKESTATIC, TOLD, name, type, false);
        }
    }

    private interface Code {
        void emit(MethodVisitor method);
    }

    private static final class BeforeReturn extends MethodVisitor {
        private final int opcode;
        private final Code code;

        BeforeReturn(MethodVisitor next, int opcode, Code code) {
            super(Opcodes.ASM9, next);
            this.opcode = opcode;
            this.code = code;
        }

        @Override
        public void visitInsn(int instruction) {
            if (instruction == opcode) {
                code.emit(mv);
            }
            super.visitInsn(instruction);
        }
    }
}
