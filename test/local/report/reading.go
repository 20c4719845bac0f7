package report

import (
	"fmt"
	"strings"
	"time"

	"sagemaker-datapipeline/lambda/head"
)

// Reading says in one line how a committed run was read.
func Reading(t Tick) string {
	return fmt.Sprintf("%s load, generation %d: %s; %s; %s", t.Manifest.Load, t.Manifest.Generation, Range(t), Pieces(t), Isolation(t))
}

// Range says which rows a run read: those of its window, or of its cursor's bounds, or all.
func Range(t Tick) string {
	switch m := t.Manifest; {
	case m.Bounds != nil && m.Bounds.From == "":
		return m.Bounds.Column + " below " + short(m.Bounds.To)
	case m.Bounds != nil:
		return fmt.Sprintf("%s %s to below %s", m.Bounds.Column, short(m.Bounds.From), short(m.Bounds.To))
	case m.Window != nil:
		return m.Window.Start.Format(time.DateOnly) + " to " + m.Window.End.Format(time.DateOnly)
	case m.Load != "":
		return "everything"
	}
	return ""
}

// short leaves out the zeros that a row version begins with.
func short(bound string) string {
	digits, ok := strings.CutPrefix(bound, "0x")
	if trimmed := strings.TrimLeft(digits, "0"); ok && trimmed != "" {
		return "0x" + trimmed
	}
	return bound
}

// Pieces says in how many pieces a run was read, where their boundaries came from, and by whom.
func Pieces(t Tick) string {
	switch {
	case len(t.Plan.Partitions) == 0:
		return ""
	case t.Plan.PartitionColumn == nil:
		return "one statement"
	}
	text := "one partition, in pages"
	if n := len(t.Plan.Partitions); n > 1 {
		text = fmt.Sprintf("%d partitions by %s", n, t.Plan.Boundaries)
	}
	if t.Map != nil {
		text += fmt.Sprintf(", read by the distributed map, %d at a time", t.Map.AtOnce)
	}
	return text
}

// Isolation is the isolation of the reading transactions, without what follows in brackets.
func Isolation(t Tick) string {
	name, _, _ := strings.Cut(t.Manifest.Source.Isolation, " (")
	return name
}

// Counts shows the sides of the export that agree: in words where all of them are the number of rows.
func Counts(t Tick) string {
	c, channels := t.Manifest.Counts, len(t.Manifest.Channels) > 0
	if c.Check(channels) != nil || c.Repeated > 0 || c.Skipped > 0 {
		return fmt.Sprintf("%s sent, %s read, %s read before, %s in Parquet, %s in channels, %s skipped",
			number(c.Done), number(c.Decoded), number(c.Repeated), number(c.Parquet), number(c.Channel), number(c.Skipped))
	}
	if channels {
		return "sent = read = Parquet = channels"
	}
	return "sent = read = Parquet"
}

// HeadText says where the head stood after a run.
func HeadText(h head.Head) string {
	if h.Manifest == nil {
		return "none"
	}
	return fmt.Sprintf("move %d", h.Moves)
}
