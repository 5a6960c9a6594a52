package datatest

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
)

const grantedTable = `CREATE TABLE g (id TEXT PRIMARY KEY, room BIGINT, i BIGINT, s TEXT, secret TEXT)`

var grantedColumns = strs("id", "room", "i", "s", "secret")

// granted is what a table with grantedColumns should hold, and what a grant on
// it lets through.
type granted struct {
	rows                 map[string]map[string]any // by id
	read, insert, update []string
	delete               bool
	room                 any // the rows of the grant, nil for all
}

func (g *granted) rights() data.Rights {
	r := data.Rights{
		Read: data.SomeColumns(g.read...), Insert: data.SomeColumns(g.insert...), Update: data.SomeColumns(g.update...), Delete: g.delete,
	}
	if g.room != nil {
		r.Where = where("room", abi.Equal, g.room)
	}
	return r
}

func (g *granted) within(r map[string]any) bool { return g.room == nil || r["room"] == g.room }

// may returns the code of using columns, of which all must be granted.
func (g *granted) may(columns, set []string) abi.Code {
	for _, c := range columns {
		switch {
		case slices.Contains(set, c):
		case slices.Contains(grantedColumns, c) && slices.Contains(slices.Concat(g.read, g.insert, g.update), c):
			return abi.NotGranted
		default:
			return abi.UnknownColumn
		}
	}
	return abi.OK
}

// query returns the answer's rows, sorted if the query does not order them.
func (g *granted) query(q *abi.Query) ([]row, abi.Code) {
	columns := q.Columns
	if columns == nil {
		columns = slices.DeleteFunc(slices.Clone(grantedColumns), func(c string) bool { return !slices.Contains(g.read, c) })
	}
	var used []string
	for _, a := range q.Aggregates {
		if a.Column != "" {
			used = append(used, a.Column)
		}
	}
	if q.Aggregates == nil {
		used = columns
	}
	if q.Lookup != nil {
		used = append(strs("id"), used...) // a key that cannot be read is none
	}
	for _, c := range q.Where {
		used = append(used, c.Column)
	}
	for _, o := range q.OrderBy {
		used = append(used, o.Column)
	}
	if len(g.read) == 0 {
		return nil, abi.NotGranted
	}
	if q.Lookup != nil && !slices.Contains(g.read, "id") {
		return nil, abi.InvalidArgument
	}
	if code := g.may(used, g.read); code != abi.OK {
		return nil, code
	}
	var found []map[string]any
	for _, id := range slices.Sorted(maps.Keys(g.rows)) {
		r := g.rows[id]
		fits := g.within(r)
		for _, c := range q.Where {
			fits = fits && holds(r[c.Column], c)
		}
		if fits {
			found = append(found, r)
		}
	}
	slices.SortStableFunc(found, func(a, b map[string]any) int {
		for _, o := range q.OrderBy {
			c := compareValues(a[o.Column], b[o.Column])
			if o.Descending {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
	if q.After != nil {
		for len(found) > 0 && found[0]["id"] != q.After[len(q.After)-1] {
			found = found[1:]
		}
		found = found[1:]
	}
	if q.Limit > 0 {
		found = found[:min(int(q.Limit), len(found))]
	}
	if q.Aggregates != nil {
		var out row
		for _, a := range q.Aggregates {
			out = append(out, aggregateOf(a, found))
		}
		return list(out), abi.OK
	}
	var rows []row
	for _, r := range found {
		var out row
		for _, c := range columns {
			out = append(out, r[c])
		}
		rows = append(rows, out)
	}
	return rows, abi.OK
}

func aggregateOf(a abi.Aggregate, rows []map[string]any) any {
	switch a.Func {
	case "count":
		return int64(len(rows))
	case "exists":
		return int64(min(len(rows), 1))
	}
	var best any
	for _, r := range rows {
		v := r[a.Column]
		if v != nil && (best == nil || (compareValues(v, best) < 0) == (a.Func == "min")) {
			best = v
		}
	}
	return best
}

func compareValues(a, b any) int {
	switch {
	case a == nil || b == nil:
		return cmp.Compare(boolToInt(a != nil), boolToInt(b != nil))
	case reflect.TypeOf(a) == reflect.TypeFor[int64]():
		return cmp.Compare(a.(int64), b.(int64))
	}
	return strings.Compare(a.(string), b.(string))
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// holds is a condition of those that the model makes.
func holds(v any, c abi.Condition) bool {
	switch c.Op {
	case abi.IsNull:
		return v == nil
	case abi.Equal:
		return v != nil && v == c.Value
	}
	return v != nil && compareValues(v, c.Value) >= 0
}

// write does what a store should do, or returns why it should refuse.
func (g *granted) write(m abi.Mutation, columns []string, rows []row) (result abi.WriteResult, code abi.Code) {
	set := m.Columns
	if set == nil {
		set = columns
	}
	switch {
	case m.Verb == abi.Update || m.Verb == abi.Delete:
		if !slices.Contains(g.read, "id") {
			return result, abi.InvalidArgument
		}
		if m.Verb == abi.Update {
			if m.Columns == nil {
				set = slices.DeleteFunc(slices.Clone(set), func(c string) bool { return c == "id" })
			}
			if code := g.may(set, g.update); code != abi.OK {
				return result, code
			}
			if len(set) == 0 {
				return result, abi.InvalidArgument
			}
		}
		if code := g.may(m.Expect, g.read); code != abi.OK {
			return result, code
		}
	case m.Verb != abi.Insert && !slices.Contains(g.insert, "id"):
		return result, abi.InvalidArgument
	default:
		if code := g.may(set, g.insert); code != abi.OK {
			return result, code
		}
		if m.Verb == abi.Upsert {
			if code := g.may(slices.DeleteFunc(slices.Clone(set), func(c string) bool { return c == "id" }), g.update); code != abi.OK {
				return result, code
			}
		}
	}
	for n, values := range rows {
		given := map[string]any{}
		for i, c := range columns {
			given[c] = values[i]
		}
		id := given["id"].(string)
		old, exists := g.rows[id]
		next, applied := map[string]any{}, true
		switch m.Verb {
		case abi.Insert:
			if exists {
				return result, abi.Conflict
			}
		case abi.InsertNew:
			applied = !exists
		case abi.Upsert:
			applied = !exists || g.within(old)
			maps.Copy(next, old)
		default:
			applied = exists && g.within(old)
			for _, c := range m.Expect {
				applied = applied && old[c] == given[c]
			}
			maps.Copy(next, old)
		}
		if !applied {
			result.Unapplied = append(result.Unapplied, int64(n))
			continue
		}
		result.Applied++
		if m.Verb == abi.Delete {
			delete(g.rows, id)
			continue
		}
		for _, c := range set {
			next[c] = given[c]
		}
		if !g.within(next) {
			return result, abi.NotGranted
		}
		g.rows[id] = next
	}
	return result, abi.OK
}

// verbs returns the code of a mutation by its verb alone.
func (g *granted) verbs(m abi.Mutation) abi.Code {
	insert, update := len(g.insert) > 0, len(g.update) > 0
	fine := map[abi.Verb]bool{abi.Insert: insert, abi.InsertNew: insert, abi.Upsert: insert && update, abi.Update: update, abi.Delete: g.delete}[m.Verb]
	if !fine || m.Expect != nil && len(g.read) == 0 {
		return abi.NotGranted
	}
	return abi.OK
}

// testModelOfGrants makes random calls under random grants on a store and on
// a map, and compares answers, refusals, and what is there afterwards.
func testModelOfGrants(t *testing.T, open opener) {
	const steps = 1000
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	s := open(t, grantedTable)
	handles := data.NewHandles(map[string]data.Store{"h": s}, nil)
	some := func(from []string, most int) (picked []string) {
		for _, i := range rnd.Perm(len(from))[:rnd.IntN(min(most, len(from))+1)] {
			picked = append(picked, from[i])
		}
		return picked
	}
	value := func(column string) any {
		if rnd.IntN(5) == 0 && column != "id" {
			return nil
		}
		switch column {
		case "id":
			return fmt.Sprintf("%02d", rnd.IntN(25))
		case "room", "i":
			return int64(rnd.IntN(3))
		}
		return strings.Repeat("s", rnd.IntN(4))
	}
	g := &granted{rows: map[string]map[string]any{}}
	outcomes := map[string]int{}
	for step := range steps {
		if step%5 == 0 {
			g.read, g.insert, g.update = some(grantedColumns, 5), some(grantedColumns, 5), some(grantedColumns, 5)
			if rnd.IntN(2) > 0 { // most grants have the key
				g.read, g.insert = append(g.read, "id"), append(g.insert, "id")
			}
			if rnd.IntN(4) == 0 {
				g.read, g.insert, g.update = grantedColumns, grantedColumns, grantedColumns
			}
			g.delete, g.room = rnd.IntN(2) == 0, nil
			if rnd.IntN(2) == 0 {
				g.room = int64(rnd.IntN(3))
			}
		}
		access := handles.Access(data.Grants{Handles: map[string]data.Grant{"h": {Collections: map[string]data.Rights{"g": g.rights()}}}}, 0)
		// A grant of nothing is no grant, but here it names the collection.
		var what string
		var wanted, code abi.Code
		if rnd.IntN(2) == 0 {
			q := abi.Query{Handle: "h", Collection: "g"}
			names := append(slices.Clone(g.read), grantedColumns...)
			switch rnd.IntN(4) {
			case 0:
				for range 1 + rnd.IntN(2) {
					a := abi.Aggregate{Func: []string{"count", "exists", "min", "max"}[rnd.IntN(4)]}
					if a.Func == "min" || a.Func == "max" {
						a.Column = names[rnd.IntN(len(names))]
					}
					q.Aggregates = append(q.Aggregates, a)
				}
			case 1:
				q.OrderBy = append(by(some(strs("i", "-s", "-room"), 2)...), by("id")...)
				q.Limit = int64(rnd.IntN(6))
			}
			if q.Aggregates == nil && rnd.IntN(2) == 0 {
				for _, c := range some(names, 3) {
					if !slices.Contains(q.Columns, c) {
						q.Columns = append(q.Columns, c)
					}
				}
			}
			for range rnd.IntN(3) {
				c := abi.Condition{Column: names[rnd.IntN(len(names))], Op: []abi.Op{abi.Equal, abi.GreaterOrEqual, abi.IsNull}[rnd.IntN(3)]}
				if c.Value = value(c.Column); c.Value == nil {
					c.Op = abi.IsNull
				}
				q.Where = append(q.Where, c)
			}
			if visible, code := g.query(&abi.Query{Columns: strs("id"), OrderBy: q.OrderBy, Where: q.Where}); q.OrderBy != nil && code == abi.OK && len(visible) > 0 && rnd.IntN(2) == 0 {
				last := g.rows[visible[rnd.IntN(len(visible))][0].(string)]
				for _, o := range q.OrderBy {
					q.After = append(q.After, last[o.Column])
				}
			}
			lookup := q.OrderBy == nil && q.Aggregates == nil && q.Where == nil
			if lookup {
				q.Lookup = Batch(strs("s", "id"), row{"x", "03"}, row{nil, "17"}, row{"", "99"})
			}
			var rows []row
			rows, wanted = g.query(&q)
			if lookup && wanted == abi.OK {
				rows = nil
				for _, id := range strs("03", "17") {
					one := q
					one.Lookup, one.Where = nil, where("id", abi.Equal, id)
					found, _ := g.query(&one)
					rows = append(rows, found...)
				}
			}
			_, got, err := readThrough(t, access, q, 200+rnd.IntN(1000))
			what, code = fmt.Sprintf("query %+v", q), abi.CodeOf(err)
			if code == abi.OK && wanted == abi.OK {
				if q.OrderBy == nil {
					sortRows(got)
					sortRows(rows)
				}
				sameRows(t, got, rows)
			}
			if code != wanted {
				t.Errorf("got %v, want %v", err, wanted)
			}
		} else {
			var ms []abi.Mutation
			var batches []byte
			var results []abi.WriteResult
			held := maps.Clone(g.rows)
			for range 1 + rnd.IntN(2) {
				m := abi.Mutation{Handle: "h", Collection: "g", Verb: []abi.Verb{abi.Insert, abi.InsertNew, abi.Upsert, abi.Update, abi.Delete}[rnd.IntN(5)]}
				from := grantedColumns[1:]
				if rnd.IntN(3) > 0 { // mostly something that is granted
					from = slices.DeleteFunc(slices.Clone(g.insert), func(c string) bool { return c == "id" })
					if m.Verb == abi.Update || m.Verb == abi.Upsert {
						from = slices.DeleteFunc(slices.Clone(g.update), func(c string) bool { return c == "id" || m.Verb == abi.Upsert && !slices.Contains(g.insert, c) })
					}
				}
				columns := append(slices.Compact(slices.Sorted(slices.Values(some(from, 4)))), "id")
				if m.Verb == abi.Delete || m.Verb == abi.Update {
					if expect := slices.Compact(slices.Sorted(slices.Values(some(columns, 2)))); len(expect) > 0 && rnd.IntN(2) == 0 {
						m.Expect = expect
					}
				}
				if rnd.IntN(3) == 0 && m.Verb != abi.Delete {
					m.Columns = append(some(columns[:len(columns)-1], 3), "id")
				}
				var rows []row
				for range rnd.IntN(4) {
					var r row
					for _, c := range columns {
						v := value(c)
						if c == "room" && g.room != nil && rnd.IntN(3) > 0 {
							v = g.room
						}
						r = append(r, v)
					}
					rows = append(rows, r)
				}
				batch := Batch(columns, rows...)
				m.Size = int64(len(batch))
				if wanted == abi.OK {
					wanted = g.verbs(m)
				}
				ms, batches = append(ms, m), append(batches, batch...)
			}
			if wanted == abi.OK {
				rest := batches
				for i := range ms {
					columns, rows := Decode(t, rest[:ms[i].Size])
					rest = rest[ms[i].Size:]
					var result abi.WriteResult
					if result, wanted = g.write(ms[i], columns, rows); wanted != abi.OK {
						break
					}
					results = append(results, result)
				}
			}
			got, err := access.Write(testContext(t), ms, batches)
			what, code = fmt.Sprintf("write %+v", ms), abi.CodeOf(err)
			switch {
			case code != wanted:
				t.Errorf("got %v, want %v", err, wanted)
			case code == abi.OK && !reflect.DeepEqual(got, results):
				t.Errorf("got %+v, want %+v", got, results)
			}
			if wanted != abi.OK {
				g.rows = held
			}
		}
		if code == wanted {
			outcomes[what[:5]+" "+wanted.String()]++
		}
		if t.Failed() {
			t.Fatalf("at step %d, read %q insert %q update %q delete %t room %v: %s", step, g.read, g.insert, g.update, g.delete, g.room, what)
		}
	}
	all := &granted{rows: g.rows, read: grantedColumns}
	rows, _ := all.query(&abi.Query{OrderBy: by("id")})
	want(t, s, abi.Query{Collection: "g", OrderBy: by("id")}, rows)
	for _, outcome := range strs("query ok", "query unknown_column", "query not_granted", "query invalid_argument",
		"write ok", "write unknown_column", "write not_granted", "write invalid_argument", "write conflict") {
		if outcomes[outcome] == 0 {
			t.Errorf("no %s in %d steps: %v", outcome, steps, outcomes)
		}
	}
}

func sortRows(rows []row) {
	slices.SortFunc(rows, func(a, b row) int { return strings.Compare(fmt.Sprintf("%#v", a), fmt.Sprintf("%#v", b)) })
}

// readThrough is Read through the checks of a worker's grants.
func readThrough(t *testing.T, a *data.Access, q abi.Query, size int) (columns []string, rows []row, err error) {
	t.Helper()
	c, err := a.Open(testContext(t), &q)
	if err != nil {
		return nil, nil, err
	}
	return readCursor(t, c, size)
}
