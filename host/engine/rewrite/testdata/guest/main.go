// Command guest is what the benchmarks of metering run: loops as Go compiles
// them, from the tightest to those with calls in them.
package main

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"sort"
)

func main() {}

var data = func() []byte {
	b := make([]byte, 64<<10)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}()

//go:wasmexport crc
func crc(rounds int32) int64 {
	sum := uint32(0)
	for range rounds {
		sum = crc32.Update(sum, crc32.IEEETable, data)
	}
	return int64(sum)
}

//go:wasmexport fnv
func fnv(rounds int32) int64 {
	h := uint64(14695981039346656037)
	for range rounds {
		for _, c := range data {
			h = (h ^ uint64(c)) * 1099511628211
		}
	}
	return int64(h)
}

//go:wasmexport sorting
func sorting(rounds int32) int64 {
	v := make([]int, 4096)
	sum := 0
	for r := range rounds {
		for i := range v {
			v[i] = int(binary.LittleEndian.Uint32(data[i*8:])) ^ int(r)
		}
		sort.Ints(v)
		sum += v[len(v)/2]
	}
	return int64(sum)
}

//go:wasmexport sha
func sha(rounds int32) int64 {
	sum := [32]byte{}
	for range rounds {
		sum = sha256.Sum256(data)
		data[0] = sum[0]
	}
	return int64(binary.LittleEndian.Uint64(sum[:]))
}

// pack writes and reads records in the way of msgpack: a byte that says what
// follows, then as many bytes as that needs.
//
//go:wasmexport pack
func pack(rounds int32) int64 {
	buf := make([]byte, 0, 64<<10)
	sum := int64(0)
	for range rounds {
		buf = buf[:0]
		for i := 0; i+16 < len(data); i += 16 {
			buf = append(buf, 0x93)
			buf = appendInt(buf, int64(data[i]))
			buf = appendInt(buf, int64(binary.LittleEndian.Uint32(data[i:])))
			buf = append(buf, 0xa0|byte(data[i]&15))
			buf = append(buf, data[i:i+int(data[i]&15)]...)
		}
		sum += unpack(buf)
	}
	return sum
}

func appendInt(b []byte, v int64) []byte {
	switch {
	case v < 128:
		return append(b, byte(v))
	case v < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, 0xcd), uint16(v))
	}
	return binary.BigEndian.AppendUint32(append(b, 0xce), uint32(v))
}

func unpack(b []byte) (sum int64) {
	for i := 0; i < len(b); {
		c := b[i]
		i++
		switch {
		case c < 0x80:
			sum += int64(c)
		case c == 0xcd:
			sum += int64(binary.BigEndian.Uint16(b[i:]))
			i += 2
		case c == 0xce:
			sum += int64(binary.BigEndian.Uint32(b[i:]))
			i += 4
		case c&0xe0 == 0xa0:
			for _, s := range b[i : i+int(c&31)] {
				sum += int64(s)
			}
			i += int(c & 31)
		}
	}
	return sum
}
