package demo

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/wasmhost/wasmhost/host/command"
)

// progressEvery is the number of rows that the archive worker tells of with
// one event.
const progressEvery = 100

// eventData is what the archive worker's events carry.
type eventData struct {
	TaskID     string `json:"taskId"`
	Collection string `json:"collection"`
	Archived   int64  `json:"archived"`
	Total      int64  `json:"total"`
}

// checkEvents compares the events of a task with what it did: one of progress
// for each hundred rows, in order, and then one that it is complete. It returns
// the number of those of progress.
func checkEvents(events []command.Event, task string, archived int64) (progress int64, err error) {
	complete := 0
	for _, e := range events {
		if e.Task != task {
			continue
		}
		var data eventData
		if err := json.Unmarshal(e.Data, &data); err != nil {
			return 0, &Mismatch{What: fmt.Sprintf("event %d (%s) has data of another form: %v", e.ID, e.Name, err)}
		}
		want := eventData{TaskID: task, Collection: collection, Archived: archived, Total: archived}
		switch e.Name {
		case "archive:progress":
			progress++
			want.Archived = progress * progressEvery
		case "archive:complete":
			complete++
		default:
			return 0, &Mismatch{What: fmt.Sprintf("event %d of the task has the name %s", e.ID, e.Name)}
		}
		if data != want {
			return 0, &Mismatch{What: fmt.Sprintf("event %d (%s) says %+v, want %+v", e.ID, e.Name, data, want)}
		}
		if complete > 0 && e.Name != "archive:complete" {
			return 0, &Mismatch{What: fmt.Sprintf("event %d (%s) came after archive:complete", e.ID, e.Name)}
		}
	}
	if want := archived / progressEvery; progress != want || complete != 1 {
		return 0, &Mismatch{What: fmt.Sprintf("there are %d events archive:progress and %d archive:complete, want %d and 1", progress, complete, want)}
	}
	return progress, nil
}

// allEvents reads the events whose names match a pattern, from the first.
func allEvents(ctx context.Context, log *command.Events, pattern string) ([]command.Event, error) {
	const page = 1000
	var all []command.Event
	for after := int64(0); ; after = all[len(all)-1].ID {
		events, err := log.Since(ctx, after, page, pattern)
		if err != nil {
			return nil, fmt.Errorf("reading the events: %w", err)
		}
		if len(events) == 0 {
			return all, nil
		}
		all = append(all, events...)
	}
}
