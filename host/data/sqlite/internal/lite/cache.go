package lite

import "container/list"

// cache keeps the statements that were used last.
type cache struct {
	most   int
	byKey  map[key]*list.Element
	recent list.List // of *entry, the most recent in front
}

// key tells statements apart: one that was prepared with more rights must not
// serve who has less.
type key struct{ rights, sql string }

type entry struct {
	key key
	s   *Stmt
}

// Cached returns a statement for sql with the given rights, prepared now or
// before, which belongs to the connection. It must be cleared after use, and be
// done with before Cached is called again.
func (c *Conn) Cached(sql string, r *Rights) (*Stmt, error) {
	k := key{sql: sql}
	if r != nil {
		k.rights = r.ID
	}
	if e := c.cached.byKey[k]; e != nil {
		c.cached.recent.MoveToFront(e)
		return e.Value.(*entry).s, nil
	}
	s, err := c.prepare(sql, r)
	if err != nil {
		return nil, err
	}
	if c.cached.byKey == nil {
		c.cached.byKey = make(map[key]*list.Element)
	}
	c.cached.byKey[k] = c.cached.recent.PushFront(&entry{k, s})
	for c.cached.recent.Len() > max(c.cached.most, 1) {
		c.cached.remove(c.cached.recent.Back())
	}
	return s, nil
}

func (c *cache) remove(e *list.Element) {
	old := c.recent.Remove(e).(*entry)
	delete(c.byKey, old.key)
	old.s.Finalize()
}

func (c *cache) drop() {
	for c.recent.Len() > 0 {
		c.remove(c.recent.Back())
	}
}
