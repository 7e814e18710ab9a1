module example.com/counter

go 1.20

require github.com/fnproject/fdk-go v0.0.52
