// A function on the official Go FDK: it counts its calls in memory.
package main

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"

	fdk "github.com/fnproject/fdk-go"
)

var calls atomic.Int64

func main() {
	fdk.Handle(fdk.HandlerFunc(func(_ context.Context, _ io.Reader, out io.Writer) {
		fmt.Fprintf(out, "%d", calls.Add(1))
	}))
}
