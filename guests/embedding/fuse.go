package main

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
)

const (
	fuseDepth = maxK // rows of each list that are mixed
	fuseK     = 60   // of reciprocal rank fusion, as in its paper
)

// hit is a row that was found.
type hit struct {
	key   any
	score float64
	order int64 // in which it was read: rows of one score stay in the order of their keys

	// Of a mixed hit: its place in each list, from 1, and 0 where it is in none.
	vectors, keywords int
	cosine            float64
}

// tell returns the hit as the answer has it.
func (h *hit) tell() map[string]any {
	told := map[string]any{"key": h.key, "score": h.score}
	lists := map[string]any{}
	if h.vectors > 0 {
		lists["vectors"] = int64(h.vectors)
		told["cosine"] = h.cosine
	}
	if h.keywords > 0 {
		lists["keywords"] = int64(h.keywords)
	}
	if len(lists) > 0 {
		told["lists"] = lists
	}
	return told
}

// fuse mixes two rankings: a row's score is the sum of 1/(60+place) over the lists
// that it is in. Only places count, as a cosine and what a full-text index says
// have no common measure.
func fuse(vectors, keywords []hit) ([]hit, error) {
	mixed := make([]hit, 0, len(vectors)+len(keywords))
	places := map[string]int{}
	add := func(list []hit, note func(h *hit, place int, from *hit)) error {
		for i := range list {
			id, err := keyID(list[i].key)
			if err != nil {
				return err
			}
			at, ok := places[id]
			if !ok {
				at = len(mixed)
				places[id] = at
				mixed = append(mixed, hit{key: list[i].key})
			}
			note(&mixed[at], i+1, &list[i])
		}
		return nil
	}
	err := add(vectors, func(h *hit, place int, from *hit) { h.vectors, h.cosine = place, from.score })
	if err == nil {
		err = add(keywords, func(h *hit, place int, _ *hit) { h.keywords = place })
	}
	if err != nil {
		return nil, err
	}
	for i := range mixed {
		for _, place := range []int{mixed[i].vectors, mixed[i].keywords} {
			if place > 0 {
				mixed[i].score += 1 / float64(fuseK+place)
			}
		}
	}
	// What is of one score stays in the order of the vectors.
	slices.SortStableFunc(mixed, func(a, b hit) int { return cmp.Compare(b.score, a.score) })
	return mixed, nil
}

// ranked runs a query of the operator's that takes the words, in the language of
// a full-text index, and answers with keys in the first column, best first.
func ranked(t *sdk.Task, name, words string) ([]hit, error) {
	rows, err := t.Data.Query(name, map[string]any{"words": words, "most": int64(fuseDepth)})
	if err != nil {
		return nil, err
	}
	return keysOf(rows, name, fuseDepth, func(*sdk.Row) (float64, bool, error) { return 0, true, nil })
}

// nearestInSQL runs a query of the operator's that compares in the database and
// answers with keys in the first column and their cosine distances in the second,
// nearest first. A distance of NULL is that of a vector without a direction.
func nearestInSQL(t *sdk.Task, at *place, model string, question []float32, most int64) (hits []hit, skipped int64, err error) {
	rows, err := t.Data.Query(at.vectors, map[string]any{"vector": encode(question), "model": model, "most": most})
	if err != nil {
		return nil, 0, err
	}
	hits, err = keysOf(rows, at.vectors, int(most), func(row *sdk.Row) (float64, bool, error) {
		f := row.Field(1)
		if f.IsNull() {
			skipped++
			return 0, false, nil
		}
		d, err := f.Float()
		if err != nil || math.IsNaN(d) {
			return 0, false, abi.Errorf(abi.InvalidArgument, "its second column is no distance")
		}
		return 1 - d, true, nil
	})
	return hits, skipped, err
}

// encode writes a vector as databases store it.
func encode(v []float32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// keysOf reads at most so many rows of a query of the operator's, each key once.
func keysOf(rows *sdk.Rows, name string, most int, score func(*sdk.Row) (float64, bool, error)) ([]hit, error) {
	var hits []hit
	seen := map[string]bool{}
	fail := func(err error) ([]hit, error) {
		_ = rows.Close() // this error is the one to tell
		return nil, abi.Errorf(abi.CodeOf(err), "query %q: %s", name, abi.MessageOf(err))
	}
	for len(hits) < most && rows.Next() {
		row := rows.Row()
		key, err := row.Field(0).Value()
		if err != nil {
			return fail(err)
		}
		if key == nil {
			return fail(abi.Errorf(abi.InvalidArgument, "its first column, which is the key, is NULL"))
		}
		id, err := keyID(key)
		if err != nil {
			return fail(err)
		}
		s, ok, err := score(row)
		if err != nil {
			return fail(err)
		}
		if ok && !seen[id] {
			seen[id] = true
			hits = append(hits, hit{key: key, score: s})
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return hits, rows.Close()
}
