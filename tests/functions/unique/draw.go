package main

import (
	"bufio"
	crypto "crypto/rand"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"math/rand"
	v2 "math/rand/v2"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// A number of each source, drawn on a thread of its own, which has a generator of its own.
func draw() string {
	var bytes [16]byte
	crypto.Read(bytes[:])
	return fmt.Sprintf("crypto/rand %s\nmath/rand %x%x\nmath/rand/v2 %x%x\nmaphash %x\n", hex.EncodeToString(bytes[:]),
		rand.Uint64(), rand.Uint64(), v2.Uint64(), v2.Uint64(), maphash.String(maphash.MakeSeed(), "x"))
}

func main() {
	work := make(chan int)
	done := make(chan string)
	for i := 0; i < 4; i++ {
		go func() {
			runtime.LockOSThread()
			for count := range work {
				var text strings.Builder
				for ; count > 0; count-- {
					text.WriteString(draw())
				}
				done <- text.String()
			}
		}()
	}
	everywhere := func(count int) string {
		text := ""
		for i := 0; i < 4; i++ {
			work <- count
			text += <-done
		}
		return text
	}
	everywhere(3)
	listener, err := net.Listen("unix", "/tmp/iofs/draw.sock")
	if err != nil {
		panic(err)
	}
	if err := os.Symlink("draw.sock", "/tmp/iofs/lsnr.sock"); err != nil {
		panic(err)
	}
	for {
		peer, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		line, _ := bufio.NewReader(peer).ReadString('\n')
		count, _ := strconv.Atoi(strings.TrimSpace(line))
		peer.Write([]byte(everywhere(count)))
		peer.Close()
	}
}
