// The one program in the images that the tests run on a real node. Its first argument says what it plays:
//
//	pause      the pod sandbox's process
//	app        an application that just runs
//	collector  a telemetry sidecar; release 0.29.0 of it panics on a span without attributes
//
// The release is read from /etc/collector/version, a file of its own layer in the image. The input comes from the pod
// (INPUT=plain or INPUT=bare), so the same release is well in one environment and crashes in another; AFTER=4s says when
// the first bare span comes, counted from the container's start.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

type span struct {
	name       string
	attributes []string
}

// spans is what the pod's traffic looks like: a bare span comes only under INPUT=bare.
func spans(bare bool) []span {
	traffic := []span{{"GET /", []string{"http.method=GET"}}, {"db.query", []string{"db.system=postgresql", "db.rows=3"}}}
	if bare {
		traffic = append(traffic, span{name: "internal"})
	}
	return traffic
}

// export renders a span. Release 0.29.0 forgot that a span may have no attributes.
func export(version string, s span) string {
	if version != "0.29.0" && len(s.attributes) == 0 {
		return s.name
	}
	first := s.attributes[0]
	return s.name + " " + first
}

func collector(stop <-chan os.Signal) error {
	text, err := os.ReadFile("/etc/collector/version")
	if err != nil {
		return fmt.Errorf("this image holds no release: %w", err)
	}
	version := strings.TrimSpace(string(text))
	input := os.Getenv("INPUT")
	var after time.Duration
	if text := os.Getenv("AFTER"); text != "" {
		if after, err = time.ParseDuration(text); err != nil {
			return fmt.Errorf("AFTER=%q is no duration such as 4s: %w", text, err)
		}
	}
	started := time.Now()
	fmt.Printf("collector %s, input %q after %s\n", version, input, after)
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return nil
		case <-tick.C:
			for _, s := range spans(input == "bare" && time.Since(started) >= after) {
				fmt.Println(export(version, s))
			}
		}
	}
}

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	role := "pause"
	if len(os.Args) > 1 {
		role = os.Args[1]
	}
	switch role {
	case "pause", "app":
		<-stop
	case "collector":
		if err := collector(stop); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		fmt.Fprintf(os.Stderr, "unknown role %q: use pause, app or collector\n", role)
		os.Exit(64)
	}
}
