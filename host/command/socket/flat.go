package socket

import (
	"context"
	"strconv"
	"strings"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/command"
)

// Commands of the flat dialect.
const (
	flatArchive = "archive"
	flatPing    = "ping"
)

// archiveRequest is {"command":"archive","task_id"?,"collection",
// "source_handle"?,"dest_handle"?,"batch_size"}.
type archiveRequest struct {
	taskID, collection, source, dest string
	batchSize                        int64
}

func parseArchive(o object) (r archiveRequest, err error) {
	const maxCollection = 110 // so that the key is not too long
	for _, f := range []struct {
		name  string
		value *string
		most  int
	}{
		{"task_id", &r.taskID, 2 * maxID}, {"collection", &r.collection, maxCollection},
		{"source_handle", &r.source, abi.MaxName}, {"dest_handle", &r.dest, abi.MaxName},
	} {
		if *f.value, err = o.text(f.name, f.most); err != nil {
			return r, err
		}
	}
	if r.collection == "" {
		return r, abi.Errorf(abi.InvalidArgument, "collection: is required")
	}
	const maxBatch = 100_000
	if r.batchSize, err = o.integer("batch_size", 1, maxBatch, 0); err != nil {
		return r, err
	}
	if r.batchSize == 0 {
		return r, abi.Errorf(abi.InvalidArgument, "batch_size: is required: it is how many rows the task moves at most")
	}
	return r, o.only("command", "task_id", "collection", "source_handle", "dest_handle", "batch_size")
}

// task is what the worker gets. A client asks for one batch and comes again
// while the table is too long, so the batch is all that one task moves.
func (r archiveRequest) task() (command.Submission, error) {
	payload := map[string]any{"collection": r.collection, "batch_size": r.batchSize, "limit": r.batchSize}
	if r.source != "" {
		payload["source_handle"] = r.source
	}
	if r.dest != "" {
		payload["dest_handle"] = r.dest
	}
	b, err := encode(payload)
	return command.Submission{Kind: flatArchive, Payload: b, UniqueKey: r.key()}, err
}

// key is the same for requests of which an unfinished one is enough. Its parts
// have no control characters, so none can pass for another.
func (r archiveRequest) key() string {
	return strings.Join([]string{flatArchive, r.collection, r.source, r.dest}, "\x1f")
}

// flat answers a line of the flat dialect.
func (d *tasks) flat(o object) func(context.Context) any {
	return func(ctx context.Context) any {
		reply, err := d.answerFlat(ctx, o)
		if err != nil {
			return d.failure(err)
		}
		return reply
	}
}

func (d *tasks) answerFlat(ctx context.Context, o object) (any, error) {
	name, err := o.text("command", command.MaxName)
	if err != nil {
		return nil, err
	}
	switch name {
	case flatPing:
		if err := o.only("command"); err != nil {
			return nil, err
		}
		st, err := d.worker.Status(ctx)
		if err != nil {
			return nil, err
		}
		return pong{"pong", int64(st.Uptime.Seconds())}, nil
	case flatArchive:
		r, err := parseArchive(o)
		if err != nil {
			return nil, err
		}
		return d.archive(ctx, r)
	}
	return nil, abi.Errorf(abi.UnknownCommand, "command %s: there are %s and %s", strconv.Quote(clip(name)), flatArchive, flatPing)
}

type pong struct {
	Status string `json:"status"`
	Uptime int64  `json:"uptime_seconds"`
}

type queued struct {
	Status   string `json:"status"`
	TaskID   string `json:"task_id"` // the client's, or ours if it gave none
	Position int64  `json:"queue_position"`
	ID       string `json:"id"` // ours
}

func (d *tasks) archive(ctx context.Context, r archiveRequest) (any, error) {
	task, err := r.task()
	if err != nil {
		return nil, err
	}
	id, err := d.submit(ctx, task)
	if err != nil {
		return nil, err
	}
	position, err := d.worker.Position(ctx, id)
	if err != nil {
		return nil, err
	}
	q := queued{Status: "queued", TaskID: r.taskID, Position: position, ID: id}
	if q.TaskID == "" {
		q.TaskID = id
	}
	return q, nil
}
