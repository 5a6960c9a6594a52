package data

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"hash"
	"math"
	"math/bits"
	"slices"
	"strings"
	"sync"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// What a [WriteSet] shows.
const (
	shownGroups = 200       // of a handle, a collection and a verb
	shownRows   = 5         // of each
	shownText   = 200       // bytes of a value
	shownBytes  = 256 << 10 // of all rows, as JSON
)

// WriteSet is what a task wrote, by handle, collection and verb. It is safe for
// concurrent use.
type WriteSet struct {
	ignore []string

	mu     sync.Mutex
	groups []*group
	more   int64 // rows of groups that are not listed
	left   int   // of shownBytes
}

// Written is what was written to a collection with one verb.
type Written struct {
	Handle     string            `json:"handle"`
	Collection string            `json:"collection"`
	Op         abi.Verb          `json:"op"`
	Rows       int64             `json:"rows"`
	First      []json.RawMessage `json:"first,omitempty"` // the first rows, as objects of what the task gave

	// Digest is that of all rows as a multiset: the same for the same rows in
	// any order and in any batches.
	Digest string `json:"digest"`
}

type group struct {
	Written
	sum  Sum
	full bool // no more rows are shown
}

// NewWriteSet returns an empty WriteSet. Columns that are to be ignored have no
// part in digests.
func NewWriteSet(ignore ...string) *WriteSet {
	return &WriteSet{ignore: ignore, left: shownBytes}
}

// Written returns what the task has written, in the order of the first row of
// each, and how many rows it wrote that are too many to be listed.
func (w *WriteSet) Written() (groups []Written, more int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	groups = make([]Written, len(w.groups))
	for i, g := range w.groups {
		groups[i] = g.Written
		groups[i].Digest = g.sum.String()
	}
	return groups, w.more
}

// note keeps what a batch did.
func (w *WriteSet) note(handle string, ms []abi.Mutation, rows []byte, results []abi.WriteResult) {
	batches, err := Split(ms, rows)
	if err != nil {
		return // it was written, so there is none
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range min(len(ms), len(results)) {
		if m, r := &ms[i], &results[i]; r.Applied > 0 {
			if g := w.group(handle, m); g != nil {
				g.Rows += r.Applied
				w.add(g, batches[i], r.Unapplied)
			} else {
				w.more += r.Applied
			}
		}
	}
}

// group returns the group of a mutation, nil where there are too many.
func (w *WriteSet) group(handle string, m *abi.Mutation) *group {
	at := slices.IndexFunc(w.groups, func(g *group) bool {
		return g.Handle == handle && g.Collection == m.Collection && g.Op == m.Verb
	})
	if at >= 0 {
		return w.groups[at]
	}
	if len(w.groups) == shownGroups {
		return nil
	}
	g := &group{Written: Written{Handle: handle, Collection: strings.Clone(m.Collection), Op: abi.Verb(strings.Clone(string(m.Verb)))}}
	w.groups = append(w.groups, g)
	return g
}

// add adds the rows of a batch that were applied.
func (w *WriteSet) add(g *group, rows []byte, unapplied []int64) {
	b, err := wire.OpenBatch(rows)
	if err != nil {
		return
	}
	without := make(map[int64]bool, len(unapplied))
	for _, i := range unapplied {
		without[i] = true
	}
	digest := sha256.New()
	for b.Next() {
		if without[b.Index()] {
			continue
		}
		digest.Reset()
		for i, column := range b.Columns {
			if !slices.Contains(w.ignore, column) {
				writePart(digest, []byte(column))
				writePart(digest, b.Value(i))
			}
		}
		g.sum.Add([sha256.Size]byte(digest.Sum(nil)))
		w.show(g, &b)
	}
}

// writePart keeps two parts from being taken for one.
func writePart(h hash.Hash, part []byte) {
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(part)))
	h.Write(n[:])
	h.Write(part)
}

// show adds a row to those that are shown, if there is room.
func (w *WriteSet) show(g *group, b *wire.Batch) {
	if g.full {
		return
	}
	g.full = true
	row := make(map[string]any, len(b.Columns))
	for i, column := range b.Columns {
		r := wire.NewReader(b.Value(i))
		v, err := r.Value()
		if err != nil {
			return
		}
		row[column] = shown(v)
	}
	text, err := json.Marshal(row)
	if err != nil || len(text) > w.left {
		return
	}
	w.left -= len(text)
	g.First = append(g.First, text)
	g.full = len(g.First) == shownRows
}

// shown is a value as a person is to see it: short, and without bytes.
func shown(v any) any {
	switch v := v.(type) {
	case string:
		if len(v) > shownText {
			return strings.ToValidUTF8(v[:shownText], "") + "…"
		}
	case []byte:
		return map[string]int{"bytes": len(v)}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
	}
	return v
}

// Sum is the digest of a multiset: the sum of its members' digests, modulo
// 2^256. The zero value is that of no members.
type Sum [4]uint64

// Add adds a member by its digest.
func (s *Sum) Add(digest [sha256.Size]byte) {
	var carry uint64
	for i := range s {
		s[i], carry = bits.Add64(s[i], binary.LittleEndian.Uint64(digest[8*i:]), carry)
	}
}

// String is the sum in hex.
func (s Sum) String() string {
	var b []byte
	for _, part := range s {
		b = binary.LittleEndian.AppendUint64(b, part)
	}
	return hex.EncodeToString(b)
}
