package crash

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
)

// sector is the unit in which a disk writes: a whole one, or none of it.
const sector = 512

// image is what is in the files, by name.
type image map[string][]byte

func (m image) digest() (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(m)) {
		content := sha256.Sum256(m[name])
		h.Write([]byte(name + "\x00"))
		h.Write(content[:])
	}
	h.Sum(sum[:0])
	return sum
}

// luck decides about one thing in a file that no sync has made last: is it on
// the disk?
type luck func(file string) bool

func none(string) bool { return false }
func all(string) bool  { return true }

// chance says yes with a probability that is another for each file: the worst
// cuts are those that leave all of one file and nothing of another.
func chance(r *rand.Rand) luck {
	p := map[string]float64{}
	return func(file string) bool {
		if _, ok := p[file]; !ok {
			p[file] = []float64{0, 0.1, 0.5, 0.9, 0.99, 1}[r.IntN(6)]
		}
		return r.Float64() < p[file]
	}
}

// node is a file, which lives on when its name is gone.
type node struct {
	data    []byte // on the disk
	pending []int  // calls that no sync has made last
}

// name is an entry of a folder.
type name struct {
	node    *node // on the disk; nil for none
	now     *node // what the program sees
	pending []entry
}

type entry struct {
	call int
	node *node // nil: the name is removed
}

// disk is files of which some changes are on the disk for sure, and others may
// be or not.
type disk struct {
	calls []call
	names map[string]*name
}

// cut returns the files as they are after the first n calls of a recording and
// a power cut. What was synced is there. Each sector of each write, each
// truncation, and each name that came or went is there if lucky says so:
// names one change after the other, contents in any order.
func cut(before image, calls []call, n int, lucky luck) image {
	d := &disk{calls: calls, names: map[string]*name{}}
	for file, data := range before {
		f := &node{data: data}
		d.names[file] = &name{node: f, now: f}
	}
	for i := range calls[:n] {
		d.call(i)
	}
	after := image{}
	for _, file := range slices.Sorted(maps.Keys(d.names)) {
		e := d.names[file]
		at := e.node
		for _, p := range e.pending {
			if !lucky(file) {
				break
			}
			at = p.node
		}
		if at == nil {
			continue
		}
		data := bytes.Clone(at.data)
		for _, i := range at.pending {
			data = apply(data, &calls[i], lucky)
		}
		after[file] = data
	}
	return after
}

func (d *disk) call(i int) {
	c := &d.calls[i]
	e := d.names[c.file]
	switch {
	case c.kind == syncs && e == nil: // of a folder
		for file, e := range d.names {
			if filepath.Dir(file) != c.file {
				continue
			}
			for len(e.pending) > 0 && e.pending[0].call < c.began {
				e.node, e.pending = e.pending[0].node, e.pending[1:]
			}
		}
		return
	case e == nil:
		e = &name{}
		d.names[c.file] = e
	}
	if c.kind == unlinks {
		e.now = nil
		e.pending = append(e.pending, entry{call: i})
		return
	}
	if e.now == nil {
		e.now = &node{}
		e.pending = append(e.pending, entry{call: i, node: e.now})
	}
	f := e.now
	if c.kind != syncs {
		f.pending = append(f.pending, i)
		return
	}
	// A write that had not ended when the sync began is not what it is about.
	rest := f.pending[:0:0]
	f.data = bytes.Clone(f.data)
	for _, p := range f.pending {
		if p < c.began {
			f.data = apply(f.data, &d.calls[p], all)
		} else {
			rest = append(rest, p)
		}
	}
	f.pending = rest
}

// apply makes a change to a file's content, as far as lucky says so.
func apply(data []byte, c *call, lucky luck) []byte {
	grow := func(size int64) {
		if n := size - int64(len(data)); n > 0 {
			data = append(data, make([]byte, n)...)
		}
	}
	if c.kind == truncates {
		if lucky(c.file) {
			grow(c.off)
			data = data[:c.off]
		}
		return data
	}
	for done := int64(0); done < int64(len(c.data)); {
		at := c.off + done
		n := min(sector-at%sector, int64(len(c.data))-done)
		if lucky(c.file) {
			grow(at + n)
			copy(data[at:], c.data[done:done+n])
		}
		done += n
	}
	return data
}

func TestCut(t *testing.T) {
	t.Parallel()
	long := bytes.Repeat([]byte("x"), 3*sector)
	// Luck that says yes so many times, and no from then on.
	first := func(n int) luck { return func(string) bool { n--; return n >= 0 } }
	for _, test := range []struct {
		name   string
		before image
		calls  []call
		lucky  luck
		want   image
	}{
		{"nothing happened", image{"a": []byte("old")}, nil, none, image{"a": []byte("old")}},
		{"a write is lost", image{"a": []byte("old")}, []call{{kind: writes, file: "a", data: []byte("new")}}, none, image{"a": []byte("old")}},
		{"or is there", image{"a": []byte("old")}, []call{{kind: writes, file: "a", data: []byte("new")}}, all, image{"a": []byte("new")}},
		{"a synced write is there", image{"a": []byte("old")},
			[]call{{kind: writes, file: "a", off: 1, data: []byte("new")}, {kind: syncs, file: "a", began: 1}}, none, image{"a": []byte("onew")}},
		{"a sync is about what had ended when it began", image{"a": []byte("old")},
			[]call{{kind: writes, file: "a", data: []byte("new")}, {kind: syncs, file: "a", began: 0}}, none, image{"a": []byte("old")}},
		{"a sync of another file does not help", image{"a": []byte("old"), "b": nil},
			[]call{{kind: writes, file: "a", data: []byte("new")}, {kind: syncs, file: "b", began: 1}}, none, image{"a": []byte("old"), "b": nil}},
		{"a write is torn at a sector", image{"a": nil}, []call{{kind: writes, file: "a", off: sector / 2, data: long}}, first(2),
			image{"a": append(make([]byte, sector/2), long[:sector/2+sector]...)}},
		{"a file is cut short", image{"a": []byte("old")}, []call{{kind: truncates, file: "a", off: 1}}, all, image{"a": []byte("o")}},
		{"or not", image{"a": []byte("old")}, []call{{kind: truncates, file: "a", off: 1}}, none, image{"a": []byte("old")}},
		{"a new file's name is lost, synced or not", image{},
			[]call{{kind: writes, file: "a", data: []byte("new")}, {kind: syncs, file: "a", began: 1}}, none, image{}},
		{"until the folder is synced", image{},
			[]call{{kind: writes, file: "a", data: []byte("new")}, {kind: syncs, file: "a", began: 1}, {kind: syncs, file: ".", began: 2}}, none,
			image{"a": []byte("new")}},
		{"which does not sync what is in it", image{},
			[]call{{kind: writes, file: "a", data: []byte("new")}, {kind: syncs, file: ".", began: 1}}, none, image{"a": nil}},
		{"nor another folder", image{},
			[]call{{kind: writes, file: "in/a", data: []byte("new")}, {kind: syncs, file: ".", began: 1}}, none, image{}},
		{"a removed file comes back", image{"a": []byte("old")}, []call{{kind: unlinks, file: "a"}}, none, image{"a": []byte("old")}},
		{"or not", image{"a": []byte("old")}, []call{{kind: unlinks, file: "a"}}, all, image{}},
		{"a file of the same name is another", image{"a": []byte("old")},
			[]call{{kind: unlinks, file: "a"}, {kind: writes, file: "a", data: []byte("n")}, {kind: syncs, file: ".", began: 2}}, all, image{"a": []byte("n")}},
	} {
		got := cut(test.before, test.calls, len(test.calls), test.lucky)
		if !maps.EqualFunc(got, test.want, bytes.Equal) {
			t.Errorf("%s:\n got %q\nwant %q", test.name, got, test.want)
		}
	}
}
