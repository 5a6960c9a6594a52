package main

import (
	"bytes"
	"slices"

	"github.com/wasmhost/wasmhost/abi"
)

// movePage moves the rows of m.page.
func (m *mover) movePage() error {
	if _, err := m.write(m.opt.dest, abi.InsertNew, &m.page, nil); err != nil {
		return m.pageError(&m.page, "inserting", m.opt.dest, err)
	}
	equal, err := m.verify(&m.page)
	if err != nil {
		return err
	}
	changed, err := m.remove(equal)
	if err != nil || len(changed) == 0 {
		return err
	}
	return m.moveChanged(equal, changed)
}

// moveChanged takes rows once more that were not what had been read when they
// were to be deleted: their new values replace the copies that were just made.
func (m *mover) moveChanged(p *page, changed []int64) error {
	again, err := p.pick(changed)
	if err != nil {
		return m.pageError(p, "choosing changed", m.opt.source, err)
	}
	var fresh page
	if err := m.lookup(&fresh, m.opt.source, again); err != nil {
		return m.pageError(again, "reading changed", m.opt.source, err)
	}
	if len(fresh.b) > 0 {
		if err := fresh.index(m.opt.key); err != nil {
			return m.pageError(again, "reading changed", m.opt.source, err)
		}
	}
	// Those that are not in the source any more were deleted there by somebody
	// else, and are archived as they were.
	m.archived += again.rows - fresh.rows
	if fresh.rows == 0 {
		return nil
	}
	if _, err := m.write(m.opt.dest, abi.Upsert, &fresh, nil); err != nil {
		return m.pageError(&fresh, "replacing changed", m.opt.dest, err)
	}
	equal, err := m.verify(&fresh)
	if err != nil {
		return err
	}
	hot, err := m.remove(equal)
	if err != nil || len(hot) == 0 {
		return err
	}
	err = equal.each(func(i int64, row []byte) error {
		if _, ok := slices.BinarySearch(hot, i); !ok {
			return nil
		}
		key, err := column(row, p.keyAt)
		m.stay.add(key, "it changed twice while it was archived; the archive holds an older copy")
		return err
	})
	if err != nil {
		return m.pageError(equal, "naming changed", m.opt.source, err)
	}
	return nil
}

// verify reads the rows of p back from the destination and returns those that
// are there byte for byte. The others are left.
func (m *mover) verify(p *page) (*page, error) {
	if err := m.lookup(&m.found, m.opt.dest, p); err != nil {
		return nil, m.pageError(p, "reading back", m.opt.dest, err)
	}
	if bytes.Equal(p.b, m.found.b) {
		return p, nil
	}
	// A row is safe if it is among what was found with every byte, wherever
	// that is: an answer with rows missing or different cannot be paired by
	// place.
	rows, keys := map[string]bool{}, map[string]bool{}
	err := m.found.each(func(_ int64, row []byte) error {
		rows[string(row)] = true
		key, err := column(row, p.keyAt) // the answer has the columns of p
		keys[string(key)] = true
		return err
	})
	if err != nil {
		return nil, m.pageError(p, "reading back", m.opt.dest, err)
	}
	equal, err := p.filter(func(_ int64, row []byte) bool { return rows[string(row)] })
	if err != nil {
		return nil, m.pageError(p, "comparing", m.opt.dest, err)
	}
	err = p.each(func(_ int64, row []byte) error {
		if rows[string(row)] {
			return nil
		}
		key, err := column(row, p.keyAt)
		reason := "the archive did not take it under this key"
		if keys[string(key)] {
			reason = "the archive holds a different row under this key"
		}
		m.stay.add(key, reason)
		return err
	})
	if err != nil {
		return nil, m.pageError(p, "comparing", m.opt.dest, err)
	}
	return equal, nil
}

// remove deletes the rows of p from the source if they are still the same, and
// returns which are not.
func (m *mover) remove(p *page) (changed []int64, err error) {
	if p.rows == 0 {
		return nil, nil
	}
	res, err := m.write(m.opt.source, abi.Delete, p, p.columns)
	if err != nil {
		return nil, m.pageError(p, "deleting", m.opt.source, err)
	}
	m.archived += p.rows - int64(len(res.Unapplied))
	slices.Sort(res.Unapplied)
	return res.Unapplied, nil
}

func (m *mover) write(handle string, verb abi.Verb, p *page, expect []string) (abi.WriteResult, error) {
	return m.task.Data.Write(abi.Mutation{
		Handle: handle, Collection: m.opt.collection, Verb: verb, Key: []string{m.opt.key}, Expect: expect,
	}, p.b)
}

// lookup reads the rows with the keys of p, with p's columns in p's order.
func (m *mover) lookup(into *page, handle string, p *page) error {
	_, err := m.read(into, abi.Query{Handle: handle, Columns: p.columns, Lookup: p.keys.B, Key: []string{m.opt.key}})
	return err
}
