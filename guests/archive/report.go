package main

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
	"github.com/wasmhost/wasmhost/sdk"
)

const (
	eventProgress = "archive:progress"
	eventComplete = "archive:complete"
	eventFailed   = "archive:failed"

	progressEvery = 100 // rows
)

// resume finds out how far earlier attempts came. The last page that one of
// them moved may not have been reported yet, if it was cut off just then.
func (m *mover) resume() error {
	left, err := m.left()
	if err != nil {
		return err
	}
	m.archived = max(m.plan.total-left, 0)
	m.task.Log.Info("resuming", "collection", m.opt.collection, "archived", m.archived, "total", m.plan.total)
	if m.archived == 0 {
		return nil
	}
	return m.report(max(m.archived-m.plan.batchSize, 0))
}

// report tells of the rows that were moved since before rows were: an event
// for each full hundred, and the task's progress.
func (m *mover) report(before int64) error {
	var events []sdk.Event
	for n := (before/progressEvery + 1) * progressEvery; n <= m.archived; n += progressEvery {
		events = append(events, sdk.Event{
			Name: eventProgress,
			Key:  m.eventKey("progress:" + strconv.FormatInt(n, 10)),
			Data: map[string]any{
				"taskId":     m.task.ID,
				"collection": m.opt.collection,
				"archived":   n,
				"total":      m.total(n),
			},
		})
	}
	if err := m.task.Commands.EmitEvents(events...); err != nil {
		return m.errorf("reporting progress: %w", err)
	}
	if err := m.task.Progress(m.archived, m.total(m.archived)); err != nil {
		return m.errorf("reporting progress: %w", err)
	}
	return nil
}

// total is the rows to move when so many are moved. Rows that were added
// behind the boundary since the plan was made are moved as well.
func (m *mover) total(archived int64) int64 { return max(m.plan.total, archived) }

func (m *mover) eventKey(suffix string) string { return m.task.ID + ":" + suffix }

// finish reports how the task ended.
func (m *mover) finish() error {
	summary := map[string]any{
		"taskId":      m.task.ID,
		"collection":  m.opt.collection,
		"archived":    m.archived,
		"total":       m.total(m.archived),
		"skipped":     m.stay.count,
		"duration_ms": max(time.Now().UnixMilli()-m.plan.startedMS, 0), // the clock may have been set back
	}
	if m.stay.count > 0 {
		return m.failed(summary)
	}
	if err := m.emit(eventComplete, "complete", summary); err != nil {
		return err
	}
	return m.task.Return(summary)
}

// failed ends a task that had to leave rows where they are. Trying again would
// find them the same.
func (m *mover) failed(summary map[string]any) error {
	summary["rows"] = m.stay.first
	if err := m.emit(eventFailed, "failed", summary); err != nil {
		return err
	}
	more := ""
	if n := m.stay.count - int64(len(m.stay.first)); n > 0 {
		more = fmt.Sprintf("; and %d more", n)
	}
	return sdk.Permanent(m.errorf("%d rows stay in %s, %d were moved to %s: %w",
		m.stay.count, m.opt.source, m.archived, m.opt.dest,
		abi.Errorf(abi.Conflict, "%s%s", strings.Join(m.stay.first, "; "), more)))
}

func (m *mover) emit(name, key string, data map[string]any) error {
	err := m.task.Commands.EmitEvents(sdk.Event{Name: name, Key: m.eventKey(key), Data: data})
	if err != nil {
		return m.errorf("emitting %s: %w", name, err)
	}
	return nil
}

// keyText shows a key's msgpack value in an error.
func keyText(raw []byte) string {
	r := wire.NewReader(raw)
	v, err := r.Value()
	if err != nil {
		return "?"
	}
	return valueText(v)
}

// valueText shows a value of a row in an error, cut to a sensible length.
func valueText(v any) string {
	const most = 64
	switch v := v.(type) {
	case nil:
		return "NULL"
	case string:
		if len(v) > most {
			return strconv.Quote(v[:most]) + "…"
		}
		return strconv.Quote(v)
	case []byte:
		if len(v) > most/2 {
			return "x'" + hex.EncodeToString(v[:most/2]) + "…'"
		}
		return "x'" + hex.EncodeToString(v) + "'"
	}
	return fmt.Sprint(v)
}

func placeText(place []any) string {
	if place == nil {
		return "the start"
	}
	parts := make([]string, len(place))
	for i, v := range place {
		parts[i] = valueText(v)
	}
	return strings.Join(parts, ", ")
}
