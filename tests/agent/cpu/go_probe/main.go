// Prints which CPU features Go's own library takes for present: fields of internal/cpu.X86, found by the program's own
// debugging information, as nothing exports them.
package main

import (
	"debug/dwarf"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"
)

func main() {
	file, err := elf.Open("/proc/self/exe")
	if err != nil {
		panic(err)
	}
	data, err := file.DWARF()
	if err != nil {
		panic(err)
	}
	reader := data.Reader()
	for entry, _ := reader.Next(); entry != nil; entry, _ = reader.Next() {
		if entry.Tag != dwarf.TagVariable || entry.Val(dwarf.AttrName) != "internal/cpu.X86" {
			continue
		}
		location := entry.Val(dwarf.AttrLocation).([]byte)
		base := uintptr(binary.LittleEndian.Uint64(location[1:]))
		kind, err := data.Type(entry.Val(dwarf.AttrType).(dwarf.Offset))
		if err != nil {
			panic(err)
		}
		for _, field := range kind.(*dwarf.StructType).Field {
			if len(field.Name) < 4 || field.Name[:3] != "Has" {
				continue
			}
			fmt.Printf("%s=%v\n", field.Name, *(*bool)(unsafe.Pointer(base + uintptr(field.ByteOffset))))
		}
		return
	}
	fmt.Println("internal/cpu.X86 not found")
	os.Exit(1)
}
