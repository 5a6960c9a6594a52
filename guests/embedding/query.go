package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
	"github.com/wasmhost/wasmhost/sdk"
	"github.com/wasmhost/wasmhost/sdk/embed"
)

// Query answers embedding/query. Without a query of the operator's it compares
// the text with every vector of the collection itself: see nearest.
func Query(t *sdk.Task) error {
	at, err := readQuery(t)
	if err != nil {
		return err
	}
	m, question, err := ask(t, at.question)
	if err != nil {
		return err
	}
	if question == nil && at.keywords == "" {
		return abi.Errorf(abi.InvalidArgument, `payload: field "text" has no word that the model knows`)
	}
	answer, err := search(t, &at, m.name(), question)
	if err != nil {
		return fmt.Errorf("querying %s.%s: %w", at.handle, at.collection, err)
	}
	return t.Return(answer)
}

// search ranks the rows in each way that is asked for, and mixes if those are two.
func search(t *sdk.Task, at *place, model string, question []float32) (map[string]any, error) {
	most := at.k
	if at.keywords != "" {
		most = fuseDepth
	}
	var near, named []hit
	var compared, skipped int64
	var err error
	switch {
	case question == nil: // the words may be found as they are
	case at.vectors != "":
		near, skipped, err = nearestInSQL(t, at, model, question, most)
		compared = int64(len(near))
	default:
		near, compared, skipped, err = nearest(t, at, model, question, most)
	}
	if words := keywords(at.question); err == nil && at.keywords != "" && words != "" {
		named, err = ranked(t, at.keywords, words)
	}
	if err != nil {
		return nil, err
	}
	hits := near
	if at.keywords != "" {
		if hits, err = fuse(near, named); err != nil {
			return nil, err
		}
		hits = hits[:min(len(hits), int(at.k))]
	}
	list, err := describe(t, at, hits)
	return map[string]any{"model": model, "hits": list, "compared": compared, "skipped": skipped}, err
}

// nearest reads all vectors of the model and keeps the best. It takes time in
// proportion to the rows, which come into the guest: an index would have to, too,
// for each clean sandbox.
func nearest(t *sdk.Task, at *place, model string, question []float32, most int64) (best []hit, compared, skipped int64, err error) {
	rows, err := t.Data.Rows(abi.Query{
		Handle: at.handle, Collection: at.collection, Columns: []string{at.key, at.vector, at.model},
		Where:   []abi.Condition{{Column: at.vector, Op: abi.NotNull}},
		OrderBy: []abi.Order{{Column: at.key}},
	})
	if err != nil {
		return nil, 0, 0, err
	}
	v := make([]float32, len(question))
	for rows.Next() {
		row := rows.Row()
		b, err := row.Field(1).Bytes()
		of, ofErr := row.Field(2).Bytes()
		if err != nil || ofErr != nil || string(of) != model || !embed.Decode(v, b) {
			skipped++
			continue
		}
		score := cosine(question, v)
		if len(best) == int(most) && score <= best[len(best)-1].score {
			compared++
			continue
		}
		key, err := row.Field(0).Value()
		if err != nil {
			_ = rows.Close() // this error is the one to tell
			return nil, 0, 0, err
		}
		h := hit{key: key, score: score, order: compared}
		compared++
		i, _ := slices.BinarySearchFunc(best, h, func(a, b hit) int {
			return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.order, b.order))
		})
		best = slices.Insert(best, i, h)
		best = best[:min(len(best), int(most))]
	}
	return best, compared, skipped, rows.Err()
}

// cosine does not rely on the lengths: a row may hold what another program put
// there.
func cosine(a, b []float32) float64 {
	var dot, aa, bb float64
	for i, x := range a {
		x, y := float64(x), float64(b[i])
		dot, aa, bb = dot+float64(x*y), aa+float64(x*x), bb+float64(y*y)
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return dot / math.Sqrt(aa*bb)
}

// describe reads the columns that are wanted of the hits. One that was deleted
// meanwhile is left out.
func describe(t *sdk.Task, at *place, hits []hit) ([]any, error) {
	list := make([]any, 0, len(hits))
	if len(at.columns) == 0 {
		for _, h := range hits {
			list = append(list, h.tell())
		}
		return list, nil
	}
	keys := sdk.NewBatch(at.key)
	scores := map[string]hit{}
	for _, h := range hits {
		if err := addKey(keys.Row(), h.key); err != nil {
			return nil, err
		}
		id, err := keyID(h.key)
		if err != nil {
			return nil, err
		}
		scores[id] = h
	}
	b, err := keys.Bytes()
	if err != nil {
		return nil, err
	}
	columns := at.columns
	if !slices.Contains(columns, at.key) {
		columns = append([]string{at.key}, columns...)
	}
	rows, err := t.Data.Rows(abi.Query{Handle: at.handle, Collection: at.collection, Columns: columns, Lookup: b, Key: []string{at.key}})
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		row := rows.Row()
		values := map[string]any{}
		key, err := row.Value(at.key)
		for _, c := range at.columns {
			if err == nil {
				values[c], err = row.Value(c)
			}
		}
		var id string
		if err == nil {
			id, err = keyID(key)
		}
		if err != nil {
			_ = rows.Close() // this error is the one to tell
			return nil, err
		}
		h := scores[id]
		told := h.tell()
		told["columns"] = values
		list = append(list, told)
	}
	return list, rows.Err()
}

// keyID makes a key of a map from a key of a row, which may be bytes.
func keyID(key any) (string, error) {
	var w wire.Writer
	err := w.Value(key)
	return string(w.B), err
}
