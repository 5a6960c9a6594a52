package main

import (
	"encoding/hex"
	"math"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// planTTL is how long a task remembers which rows are its own. A task that is
// run again after that decides anew.
const planTTL = 30 * 24 * time.Hour

// plan is what the first attempt decided. It is stored in the session of the
// task, so that later attempts move the same rows even when the table, the
// configuration or the clock has moved on.
type plan struct {
	orderBy   string
	batchSize int64
	total     int64 // rows to move
	startedMS int64 // Unix time
	boundary  []any // the place of the last row to move: its order value and key; nil if there is none
}

func (m *mover) sessionID() string { return "task:" + m.task.ID }

// makePlan reads the stored plan, or makes and stores one and says so.
func (m *mover) makePlan() (fresh bool, err error) {
	data, found, err := m.task.Commands.GetSession(m.sessionID())
	if err != nil {
		return false, m.errorf("reading the plan: %w", err)
	}
	if found {
		m.plan, err = decodePlan(data)
		if err != nil {
			return false, m.errorf("the plan in session %s: %w", m.sessionID(), err)
		}
		m.opt.orderBy = m.plan.orderBy
		return false, nil
	}
	m.plan = plan{orderBy: m.opt.orderBy, batchSize: m.opt.batchSize, startedMS: time.Now().UnixMilli()}
	if err := m.findBoundary(); err != nil {
		return false, err
	}
	data, err = m.plan.encode()
	if err == nil {
		err = m.task.Commands.SetSession(m.sessionID(), data, planTTL)
	}
	if err != nil {
		return false, m.errorf("storing the plan: %w", err)
	}
	return true, nil
}

// findBoundary decides which rows to move.
func (m *mover) findBoundary() error {
	p := &m.plan
	if m.opt.keep >= 0 {
		// The newest of the rows that do not stay.
		n, place, err := m.lastOf(abi.Query{OrderBy: m.order(true), Limit: m.opt.keep + 1})
		if err != nil {
			return err
		}
		if n <= m.opt.keep {
			return nil
		}
		p.boundary = place
		p.total, err = m.left()
		if err != nil {
			return err
		}
		if m.opt.limit < 0 || p.total <= m.opt.limit {
			return nil
		}
	}
	var err error
	p.total, p.boundary, err = m.lastOf(abi.Query{OrderBy: m.order(false), Until: p.boundary, Limit: m.opt.limit})
	return err
}

// order is the order of rows: oldest first, rows of the same age by key.
func (m *mover) order(descending bool) []abi.Order {
	return []abi.Order{
		{Column: m.opt.orderBy, Descending: descending},
		{Column: m.opt.key, Descending: descending},
	}
}

// lastOf counts the rows of a query on the source and returns the place of the
// last of them. Only that one is decoded.
func (m *mover) lastOf(q abi.Query) (n int64, place []any, err error) {
	q.Handle, q.Collection = m.opt.source, m.opt.collection
	q.Columns = []string{m.opt.orderBy, m.opt.key}
	rows, err := m.task.Data.Batches(q, m.buf)
	if err != nil {
		return 0, nil, m.errorf("finding the rows to move in %s: %w", m.opt.source, err)
	}
	for {
		b, err := rows.NextBatch()
		if err != nil {
			return 0, nil, m.errorf("finding the rows to move in %s: %w", m.opt.source, err)
		}
		if b == nil {
			return n, place, nil
		}
		walk, err := wire.OpenBatch(b)
		for err == nil && walk.Next() {
			n++
		}
		if err == nil {
			err = walk.Err()
		}
		if err == nil {
			place, err = values(walk.Row(), 0, 1)
		}
		if err != nil {
			_ = rows.Close()
			return 0, nil, m.errorf("finding the rows to move in %s: %w", m.opt.source, err)
		}
	}
}

// left counts the rows of the plan that are in the source. A count takes
// conditions that all hold and no bound, so the rows up to a place in the order
// are those before its order value, NULL being before all others, and those of
// the same order value up to its key.
func (m *mover) left() (n int64, err error) {
	order, key := m.opt.orderBy, abi.Condition{Column: m.opt.key, Op: abi.LessOrEqual, Value: m.plan.boundary[1]}
	null := abi.Condition{Column: order, Op: abi.IsNull}
	parts := [][]abi.Condition{{null, key}}
	if v := m.plan.boundary[0]; v != nil {
		parts = [][]abi.Condition{
			{null},
			{{Column: order, Op: abi.Less, Value: v}},
			{{Column: order, Op: abi.Equal, Value: v}, key},
		}
	}
	for _, where := range parts {
		part, err := m.task.Data.CountRows(abi.Query{Handle: m.opt.source, Collection: m.opt.collection, Where: where})
		if err != nil {
			return 0, m.errorf("counting the rows to move in %s: %w", m.opt.source, err)
		}
		n += part
	}
	return n, nil
}

// encode makes the session's data of p. The boundary is msgpack in hex: it
// must come back with every bit and type as it was, which a session that is
// kept as JSON does not promise of a number or a blob.
func (p *plan) encode() (map[string]any, error) {
	data := map[string]any{
		"order_by":   p.orderBy,
		"batch_size": p.batchSize,
		"total":      p.total,
		"started_ms": p.startedMS,
	}
	if p.boundary != nil {
		var w wire.Writer
		if err := w.Value(p.boundary); err != nil {
			return nil, err
		}
		data["boundary"] = hex.EncodeToString(w.B)
	}
	return data, nil
}

func decodePlan(data map[string]any) (p plan, err error) {
	var ok bool
	if p.orderBy, ok = data["order_by"].(string); !ok {
		return p, abi.Errorf(abi.Internal, "order_by is no text")
	}
	for name, dst := range map[string]*int64{"batch_size": &p.batchSize, "total": &p.total, "started_ms": &p.startedMS} {
		switch v := data[name].(type) {
		case int64:
			*dst = v
		case float64: // what JSON makes of a number
			*dst = int64(math.Round(v))
		default:
			return p, abi.Errorf(abi.Internal, "%s is no number", name)
		}
	}
	if p.batchSize < 1 || p.batchSize > maxBatchSize {
		return p, abi.Errorf(abi.Internal, "batch_size is %d", p.batchSize)
	}
	text, ok := data["boundary"].(string)
	if !ok {
		return p, nil
	}
	b, err := hex.DecodeString(text)
	if err != nil {
		return p, abi.Errorf(abi.Internal, "boundary: %w", err)
	}
	r := wire.NewReader(b)
	v, err := r.Value()
	if err != nil {
		return p, abi.Errorf(abi.Internal, "boundary: %w", err)
	}
	if p.boundary, ok = v.([]any); !ok || len(p.boundary) != 2 {
		return p, abi.Errorf(abi.Internal, "boundary is not the place of a row")
	}
	return p, nil
}
