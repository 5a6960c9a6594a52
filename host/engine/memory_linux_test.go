package engine

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"
)

// TestResetBringsBackEveryPage: whatever a guest reads and writes between two
// resets, of the image and of the zeros behind it, few pages or many, in one
// memory that is reset again and again.
func TestResetBringsBackEveryPage(t *testing.T) {
	t.Parallel()
	const size = 64 * pageSize
	page := unix.Getpagesize()
	random := rand.New(rand.NewPCG(1, 2))
	content := make([]byte, size)
	for i := range 20 * pageSize {
		if i/pageSize%3 > 0 { // and some holes
			content[i] = byte(random.Uint32())
		}
	}
	im := newImage(content)
	t.Cleanup(im.close)
	m, err := newMemory(2*size, size, im)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.release)
	b := m.Reallocate(size)
	sum, rewritten := byte(0), 0
	for round := range 300 {
		for range random.IntN(40) {
			sum += b[random.IntN(size)]
		}
		writes := random.IntN(100)
		if round%10 == 0 {
			writes = 500 // more pages than are worth to be kept
		}
		for range writes {
			at := random.IntN(size)
			if random.IntN(2) == 0 {
				at = random.IntN(100) * page // those that were written to before
			}
			b[at] ^= byte(1 + random.IntN(255))
		}
		if random.IntN(4) == 0 {
			at := random.IntN(size - 8*page)
			clear(b[at : at+random.IntN(8*page)]) // across pages
		}
		if _, ok := im.file.ownPages(b, new(pageScan)); ok {
			rewritten++
		}
		if round == 290 {
			im.close() // the module was, while the sandbox was in use
		}
		if err := m.reset(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, content) {
			t.Fatalf("round %d: it is not the image", round)
		}
	}
	t.Logf("%d of 300 resets had few pages (%d)", rewritten, sum)
	switch {
	case rewritten == 0:
		t.Log("the kernel does not tell which pages were written to")
	case rewritten > 270:
		t.Error("no reset dropped its pages")
	}
}
