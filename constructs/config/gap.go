package config

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // gaps are the same on a machine without a time zone database
)

// longestGap is the longest time between two ticks of a schedule that has no problem: over nights and weekends, at the ends of short months, and
// where a time zone leaves an hour out. A schedule that ticks once has none; a year stands for it.
//
// A calendar of the years 2024 to 2051 is looked at: every weekday is on every date of them, in leap years too. 2100, which isn't one, is left out.
func longestGap(s Schedule) time.Duration {
	if known, ok := gaps.Load(s); ok {
		return known.(time.Duration)
	}
	gap := gapOf(s)
	gaps.Store(s, gap)
	return gap
}

// gaps holds what was found: a configuration asks for the same schedules again for each environment.
var gaps sync.Map // Schedule → time.Duration

func gapOf(s Schedule) time.Duration {
	if period := ratePeriod(s.Expression); period > 0 {
		return period
	}
	inner, isCron := strings.CutPrefix(s.Expression, "cron(")
	inner, closed := strings.CutSuffix(inner, ")")
	if !isCron || !closed || checkCron(inner) != "" {
		return 0
	}
	zone, err := time.LoadLocation(s.TimeZone)
	if err != nil {
		zone = time.UTC
	}
	longest, last := time.Duration(0), time.Time{}
	c := newCalendar(strings.Fields(inner))
	for day := time.Date(c.firstYear(), 1, 1, 0, 0, 0, 0, time.UTC); day.Year() < c.firstYear()+calendarYears; day = day.AddDate(0, 0, 1) {
		if !c.ticksOn(day) {
			continue
		}
		first, pause, latest := c.ticks(day, zone)
		if first.IsZero() {
			continue
		}
		if !last.IsZero() {
			longest = max(longest, first.Sub(last))
		}
		longest = max(longest, pause)
		last = latest
	}
	if longest == 0 {
		return 366 * 24 * time.Hour
	}
	return longest
}

const (
	calendarYear  = 2024
	calendarYears = 28
)

// calendar is a cron expression without problems, read.
type calendar struct {
	minutes, hours, months, years []int
	days, weekdays                string
	// ofADay are the times of a day, and pause is the longest between two of them.
	ofADay []time.Duration
	pause  time.Duration
}

func newCalendar(fields []string) calendar {
	values := func(i int) []int {
		v, _ := cronFields[i].values(fields[i])
		slices.Sort(v)
		return slices.Compact(v)
	}
	c := calendar{
		minutes: values(0), hours: values(1), months: values(month), years: values(5),
		days: strings.ToUpper(fields[dayOfMonth]), weekdays: strings.ToUpper(fields[dayOfWeek]),
	}
	for _, hour := range c.hours {
		for _, minute := range c.minutes {
			c.ofADay = append(c.ofADay, time.Duration(hour)*time.Hour+time.Duration(minute)*time.Minute)
		}
	}
	for i, at := range c.ofADay[1:] {
		c.pause = max(c.pause, at-c.ofADay[i])
	}
	return c
}

// firstYear is where the calendar begins: where the expression ticks only in years that are past or far away, with them.
func (c calendar) firstYear() int {
	if first := c.years[0]; first > calendarYear || c.years[len(c.years)-1] < calendarYear {
		return first
	}
	return calendarYear
}

func (c calendar) ticksOn(day time.Time) bool {
	if !slices.Contains(c.months, int(day.Month())) || !slices.Contains(c.years, day.Year()) {
		return false
	}
	if c.days != "?" {
		return slices.ContainsFunc(strings.Split(c.days, ","), func(entry string) bool { return isDayOfMonth(entry, day) })
	}
	return slices.ContainsFunc(strings.Split(c.weekdays, ","), func(entry string) bool { return isDayOfWeek(entry, day) })
}

func isDayOfMonth(entry string, day time.Time) bool {
	last := time.Date(day.Year(), day.Month()+1, 0, 0, 0, 0, 0, time.UTC)
	switch {
	case entry == "L":
		return day.Equal(last)
	case entry == "LW":
		return day.Equal(workingDayNextTo(last))
	case strings.HasSuffix(entry, "W"):
		n, err := strconv.Atoi(strings.TrimSuffix(entry, "W"))
		return err == nil && n <= last.Day() && day.Equal(workingDayNextTo(time.Date(day.Year(), day.Month(), n, 0, 0, 0, 0, time.UTC)))
	default:
		values, _ := cronFields[dayOfMonth].entry(entry)
		return slices.Contains(values, day.Day())
	}
}

// workingDayNextTo is the day itself, or the nearest from Monday to Friday in the same month.
func workingDayNextTo(day time.Time) time.Time {
	move := 0
	switch day.Weekday() {
	case time.Saturday:
		move = -1
		if day.Day() == 1 {
			move = 2
		}
	case time.Sunday:
		move = 1
		if day.AddDate(0, 0, 1).Month() != day.Month() {
			move = -2
		}
	}
	return day.AddDate(0, 0, move)
}

func isDayOfWeek(entry string, day time.Time) bool {
	weekday := int(day.Weekday()) + 1 // from Sunday on
	if entry == "L" {
		return day.Weekday() == time.Saturday
	}
	if last := lastWeekdayEntry.FindStringSubmatch(entry); last != nil {
		return last[1] == strconv.Itoa(weekday) && day.AddDate(0, 0, 7).Month() != day.Month()
	}
	if nth := nthWeekdayEntry.FindStringSubmatch(entry); nth != nil {
		value, _ := cronFields[dayOfWeek].value(nth[1])
		return value == weekday && nth[2] == strconv.Itoa((day.Day()+6)/7)
	}
	values, _ := cronFields[dayOfWeek].entry(entry)
	return slices.Contains(values, weekday)
}

// ticks gives the first and the last tick of a day, and the longest pause between ticks of it. A time that the zone leaves out on the day doesn't
// tick, one that it has twice ticks once. The first tick is zero where none is left.
func (c calendar) ticks(day time.Time, zone *time.Location) (first time.Time, pause time.Duration, last time.Time) {
	at := func(clock time.Duration) time.Time {
		hour, minute := int(clock.Hours()), int(clock.Minutes())%60
		tick := time.Date(day.Year(), day.Month(), day.Day(), hour, minute, 0, 0, zone)
		if tick.Hour() != hour || tick.Minute() != minute {
			return time.Time{}
		}
		return tick
	}
	midnight := func(days int) time.Time { return time.Date(day.Year(), day.Month(), day.Day()+days, 0, 0, 0, 0, zone) }
	_, before := midnight(0).Zone()
	_, after := midnight(1).Zone()
	if before == after {
		return at(c.ofADay[0]), c.pause, at(c.ofADay[len(c.ofADay)-1])
	}
	for _, clock := range c.ofADay {
		tick := at(clock)
		switch {
		case tick.IsZero():
			continue
		case first.IsZero():
			first = tick
		default:
			pause = max(pause, tick.Sub(last))
		}
		last = tick
	}
	return first, pause, last
}
