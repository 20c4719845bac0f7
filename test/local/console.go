package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// console prints what happens while it happens: a line for each thing, with the time since the start and the lane that it
// belongs to. On a terminal there are colours, and a last line that says what is under way.
type console struct {
	mu    sync.Mutex
	out   io.Writer
	start time.Time
	tty   bool
	color bool
	// underWay gives the text of the status line.
	underWay func() string
	drawn    bool
	frame    int
}

func newConsole(f *os.File) *console {
	info, err := f.Stat()
	tty := err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
	return &console{out: f, start: time.Now(), tty: tty, color: tty && os.Getenv("NO_COLOR") == ""}
}

// The colours, as SGR parameters.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

// laneColors tells the pipelines' lines apart where they interleave.
var laneColors = map[string]string{"fraud": "35", "churn": "36", "demand": "34", "sales": "33"}

func (c *console) paint(sgr, s string) string {
	if !c.color || sgr == "" {
		return s
	}
	return "\x1b[" + sgr + "m" + s + "\x1b[0m"
}

// line prints one line of a lane.
func (c *console) line(lane, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.erase()
	color, ok := laneColors[lane]
	if !ok {
		color = bold
	}
	elapsed := fmt.Sprintf("%6.1fs", time.Since(c.start).Seconds())
	c.print(c.paint(dim, elapsed) + "  " + c.paint(color, pad(lane, 10)) + " " + text + "\n")
	c.draw()
}

// text prints lines as they are.
func (c *console) text(s string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.erase()
	c.print(s + "\n")
	c.draw()
}

// watch redraws the status line until stop is closed; it does nothing where there is no terminal.
func (c *console) watch(stop <-chan struct{}) {
	if !c.tty {
		return
	}
	tick := time.NewTicker(120 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			c.mu.Lock()
			c.erase()
			c.underWay = nil
			c.mu.Unlock()
			return
		case <-tick.C:
			c.mu.Lock()
			c.frame++
			c.erase()
			c.draw()
			c.mu.Unlock()
		}
	}
}

func (c *console) erase() {
	if c.drawn {
		c.print("\r\x1b[K")
		c.drawn = false
	}
}

func (c *console) draw() {
	if !c.tty || c.underWay == nil {
		return
	}
	text := c.underWay()
	if text == "" {
		return
	}
	// A line that wraps can't be erased by one carriage return; 80 columns fit everywhere.
	if utf8.RuneCountInString(text) > 70 {
		text = string([]rune(text)[:69]) + "…"
	}
	frames := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
	c.print(c.paint(dim, fmt.Sprintf("%6.1fs  %c %s", time.Since(c.start).Seconds(), frames[c.frame%len(frames)], text)))
	c.drawn = true
}

// print writes to the console. One that can't be written to is no reason to break off a run, and nobody is there to be told.
func (c *console) print(s string) { _, _ = io.WriteString(c.out, s) }

// pad fills s with spaces up to n characters.
func pad(s string, n int) string {
	return s + strings.Repeat(" ", max(0, n-utf8.RuneCountInString(s)))
}

// table lines cells up in columns; the numeric ones to the right.
func table(header []string, rows [][]string, right map[int]bool) string {
	widths := make([]int, len(header))
	for _, row := range append([][]string{header}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	write := func(row []string) {
		cells := make([]string, len(row))
		for i, cell := range row {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if right[i] {
				cells[i] = space + cell
			} else {
				cells[i] = cell + space
			}
		}
		b.WriteString(strings.TrimRight(strings.Join(cells, "  "), " ") + "\n")
	}
	write(header)
	rules := make([]string, len(widths))
	for i, width := range widths {
		rules[i] = strings.Repeat("─", width)
	}
	b.WriteString(strings.Join(rules, "  ") + "\n")
	for _, row := range rows {
		write(row)
	}
	return b.String()
}

// count writes a number with what it counts: 1 file, 4 files.
func count(n int64, what string) string {
	if n != 1 {
		what += "s"
	}
	return thousands(n) + " " + what
}

// thousands writes 207506 as 207,506.
func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
