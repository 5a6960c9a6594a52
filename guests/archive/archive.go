package main

import (
	"fmt"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
)

// readBuffer is the room for one answer of the host. Most pages fit.
const readBuffer = 512 << 10

// mover is one attempt at one task.
type mover struct {
	task *sdk.Task
	opt  options
	plan plan

	archived int64 // rows of the plan that left the source, in this attempt and before
	stay     stayed

	buf   []byte // what the host reads rows into
	page  page   // rows of the source
	found page   // the same rows as another read found them
}

// stayed is the rows that stay in the source.
type stayed struct {
	count int64
	first []string // the first of them, and why each stays
}

const maxNamed = 10

func (l *stayed) add(key []byte, reason string) {
	l.count++
	if len(l.first) < maxNamed {
		l.first = append(l.first, keyText(key)+" ("+reason+")")
	}
}

// Archive does one attempt at a task.
func Archive(t *sdk.Task) error {
	opt, err := readOptions(t)
	if err != nil {
		return err
	}
	m := &mover{task: t, opt: opt, buf: make([]byte, readBuffer)}
	fresh, err := m.makePlan()
	if err != nil {
		return err
	}
	if m.plan.boundary != nil {
		if !fresh {
			if err := m.resume(); err != nil {
				return err
			}
		}
		if err := m.moveAll(); err != nil {
			return err
		}
	}
	return m.finish()
}

// moveAll moves page after page. A page begins behind the last row of the one
// before it, so rows that were left are passed over.
func (m *mover) moveAll() error {
	q := abi.Query{
		Handle: m.opt.source, OrderBy: m.order(false), Until: m.plan.boundary, Limit: m.plan.batchSize,
	}
	for {
		more, err := m.read(&m.page, q)
		if err != nil {
			return m.errorf("reading rows behind %s from %s: %w", placeText(q.After), m.opt.source, err)
		}
		if len(m.page.b) == 0 {
			return nil
		}
		err = m.page.index(m.opt.key)
		if err == nil {
			q.After, err = m.page.place(m.opt.orderBy)
		}
		if err != nil {
			return m.errorf("reading rows from %s: %w", m.opt.source, err)
		}
		before := m.archived
		if err := m.movePage(); err != nil {
			return err
		}
		if err := m.report(before); err != nil {
			return err
		}
		if !more && m.page.rows < m.plan.batchSize {
			return nil
		}
	}
}

// errorf says which collection an error is about. The code is that of the
// error it wraps.
func (m *mover) errorf(format string, args ...any) error {
	return fmt.Errorf("archiving %s: %w", m.opt.collection, fmt.Errorf(format, args...))
}

// pageError says which rows an error is about.
func (m *mover) pageError(p *page, doing, handle string, err error) error {
	var first, last []byte
	_ = p.each(func(i int64, row []byte) error { // err is the error to tell
		key, err := column(row, p.keyAt)
		if i == 0 {
			first = key
		}
		last = key
		return err
	})
	return m.errorf("%s %d rows (%s %s to %s) in %s: %w",
		doing, p.rows, m.opt.key, keyText(first), keyText(last), handle, err)
}
