package engine

import (
	"bytes"
	"context"
	"fmt"

	"github.com/tetratelabs/wazero/api"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/engine/rewrite"
)

// snapshot is a module's state after its initialization: what a sandbox begins
// with that did not initialize itself.
type snapshot struct {
	image   *image
	globals []uint64 // in the order of rewrite.GlobalName
}

// Snapshot says whether the module's sandboxes are made from a snapshot, and if
// not, why each of them initializes itself.
func (m *Module) Snapshot() (ok bool, why string) { return m.snapshot != nil, m.why }

// snapshotOf takes a snapshot of a sandbox that ran nothing but its
// initialization. The reason why it cannot is an error.
func snapshotOf(s *Sandbox) (*snapshot, error) {
	snap := &snapshot{globals: make([]uint64, len(s.globals))}
	for i, g := range s.globals {
		snap.globals[i] = g.Get()
		switch g.Type() {
		case api.ValueTypeI32, api.ValueTypeI64, api.ValueTypeF32, api.ValueTypeF64:
		default:
			if snap.globals[i] != 0 {
				return nil, fmt.Errorf("it keeps a reference in its global %d", i)
			}
		}
	}
	memory := s.instance.Memory()
	content, ok := memory.Read(0, memory.Size())
	if !ok {
		return nil, fmt.Errorf("its memory of %d bytes cannot be read", memory.Size())
	}
	snap.image = newImage(content)
	return snap, nil
}

// takeSnapshot makes m's later sandboxes begin where s is now, if they can. The
// first of them is held against s, and kept as idle. Nobody else has m yet.
func (m *Module) takeSnapshot(ctx context.Context, s *Sandbox) error {
	if m.initial == nil || m.keep {
		return nil
	}
	snap, err := snapshotOf(s)
	if err != nil {
		m.why = err.Error()
		return nil
	}
	m.snapshot = snap
	first, err := m.newSandbox(ctx)
	if err == nil {
		if err = first.equals(s); err == nil {
			err = first.restore()
		}
		if err != nil {
			first.close(ctx)
		}
	}
	if err != nil {
		snap.image.close()
		m.snapshot, m.why = nil, "restoring it failed: "+abi.MessageOf(err)
		return ctx.Err()
	}
	m.initial = &rewrite.Initial{Globals: m.initial.Globals} // the data is in the image
	m.idle = append(m.idle, first)
	s.broken = true // it has no image to go back to
	return nil
}

// equals compares what a snapshot brings back.
func (s *Sandbox) equals(o *Sandbox) error {
	a, _ := s.instance.Memory().Read(0, s.instance.Memory().Size())
	b, _ := o.instance.Memory().Read(0, o.instance.Memory().Size())
	if !bytes.Equal(a, b) {
		return fmt.Errorf("memories of %d and %d bytes differ", len(a), len(b))
	}
	for i := range s.globals {
		if got, want := s.globals[i].Get(), o.globals[i].Get(); got != want {
			return fmt.Errorf("global %d is %#x, not %#x", i, got, want)
		}
	}
	return nil
}

// findGlobals looks up what a snapshot has to bring back besides the memory.
func (s *Sandbox) findGlobals(n int) error {
	s.globals = make([]api.MutableGlobal, n)
	for i := range s.globals {
		g, ok := s.instance.ExportedGlobal(rewrite.GlobalName(i)).(api.MutableGlobal)
		if !ok {
			return fmt.Errorf("there is no global %s", rewrite.GlobalName(i))
		}
		s.globals[i] = g
	}
	return nil
}

// begin brings a new instance to where the snapshot was taken.
func (s *Sandbox) begin() error {
	snap, memory := s.module.snapshot, s.instance.Memory()
	// The memory is as large as the module declares it, and what the image has
	// above that is there already: growing only shows it to the guest.
	if missing := int64(snap.image.size) - int64(memory.Size()); missing > 0 {
		memory.Grow(uint32(missing / pageSize))
	}
	if uint64(memory.Size()) != snap.image.size {
		return fmt.Errorf("the memory has %d bytes, the snapshot %d", memory.Size(), snap.image.size)
	}
	s.setGlobals()
	return nil
}

func (s *Sandbox) setGlobals() {
	for i, v := range s.module.snapshot.globals {
		s.globals[i].Set(v)
	}
}

// restore brings a sandbox back in place to where the snapshot was taken. After
// a failure it is not to be used.
func (s *Sandbox) restore() error {
	if s.memory.size() != s.module.snapshot.image.size {
		return fmt.Errorf("the memory has grown")
	}
	if err := s.memory.reset(); err != nil {
		return fmt.Errorf("resetting the memory: %w", err)
	}
	s.setGlobals()
	s.used = false
	return nil
}
