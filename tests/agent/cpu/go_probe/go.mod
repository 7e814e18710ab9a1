module thaw.test/go_probe

go 1.21
