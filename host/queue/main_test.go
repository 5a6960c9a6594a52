package queue

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		childMain(path)
		return
	}
	goleak.VerifyTestMain(m)
}
