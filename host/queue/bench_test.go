package queue

import (
	"context"
	"encoding/json"
	"testing"
	"time"
)

func BenchmarkSubmit(b *testing.B) {
	q := open(b, newPath(b))
	for b.Loop() {
		submit(b, q, Submission{Payload: json.RawMessage(`{"collection":"chat_messages"}`)})
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}

// BenchmarkWork runs tasks that do nothing, four at a time.
func BenchmarkWork(b *testing.B) {
	q := open(b, newPath(b))
	done := make(chan struct{}, 1)
	for range b.N {
		submit(b, q, Submission{})
	}
	b.ResetTimer()
	startWith(b, q, map[string]WorkerConfig{"w": {Concurrency: 4}}, func(context.Context, Delivery) (json.RawMessage, error) {
		done <- struct{}{}
		return nil, nil
	})
	for range b.N {
		<-done
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}

// BenchmarkPickUp is the time from a submit by another process to the run.
func BenchmarkPickUp(b *testing.B) {
	path := newPath(b)
	q, other := open(b, path), open(b, path)
	began := make(chan time.Time, 1)
	start(b, q, func(context.Context, Delivery) (json.RawMessage, error) {
		began <- time.Now()
		return nil, nil
	})
	latency(b, func() time.Duration {
		submit(b, other, Submission{})
		t := time.Now()
		return (<-began).Sub(t)
	})
}

// BenchmarkCancel is the time from a cancel by another process to the end of
// the run's context.
func BenchmarkCancel(b *testing.B) {
	path := newPath(b)
	q, other := open(b, path), open(b, path)
	began, ended := make(chan struct{}, 1), make(chan time.Time, 1)
	start(b, q, func(ctx context.Context, _ Delivery) (json.RawMessage, error) {
		began <- struct{}{}
		<-ctx.Done()
		ended <- time.Now()
		return nil, ctx.Err()
	})
	latency(b, func() time.Duration {
		id := submit(b, other, Submission{})
		<-began
		if _, err := other.Cancel(b.Context(), id); err != nil {
			b.Fatal(err)
		}
		t := time.Now()
		return (<-ended).Sub(t)
	})
}

func latency(b *testing.B, one func() time.Duration) {
	var sum, most time.Duration
	n := 0
	for b.Loop() {
		d := one()
		sum, most, n = sum+d, max(most, d), n+1
	}
	b.ReportMetric(float64(sum.Microseconds())/float64(n)/1e3, "ms-mean")
	b.ReportMetric(float64(most.Microseconds())/1e3, "ms-max")
}
