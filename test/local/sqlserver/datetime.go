package sqlserver

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	ticksPerSecond  = 10_000_000 // of time, datetime2 and datetimeoffset: 100 ns
	ticksPerMinute  = 60 * ticksPerSecond
	ticksPerDay     = 86_400 * ticksPerSecond
	datetimePerDay  = 86_400 * 300 // datetime counts 1/300 s
	daysTo1900      = 693_595      // from 0001-01-01
	daysTo1753      = 639_905
	daysTo1970      = 719_162
	maxDay          = 3_652_058 // 9999-12-31
	maxTicks        = (maxDay+1)*ticksPerDay - 1
	minDatetime     = (daysTo1753 - daysTo1900) * datetimePerDay
	maxDatetime     = (maxDay-daysTo1900+1)*datetimePerDay - 1
	maxSmallMinutes = 65_536*1_440 - 1
	offsetBias      = 1 << 15
)

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// dayOf is the number of days from 0001-01-01 to a date.
func dayOf(year, month, day int) int64 {
	return floorDiv(time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC).Unix(), 86_400) + daysTo1970
}

// dateOf is the date of a day counted from 0001-01-01.
func dateOf(days int64) (year, month, day int) {
	t := time.Unix((days-daysTo1970)*86_400, 0).UTC()
	return t.Year(), int(t.Month()), t.Day()
}

func ticksOf(t time.Time) int64 {
	return (floorDiv(t.Unix(), 86_400)+daysTo1970)*ticksPerDay + (t.Unix()-floorDiv(t.Unix(), 86_400)*86_400)*ticksPerSecond + int64(t.Nanosecond())/100
}

// roundTicks rounds ticks to a number of fractional digits.
func roundTicks(ticks int64, scale uint8) int64 {
	unit := pow10[7-min(scale, 7)]
	return floorDiv(ticks+unit/2, unit) * unit
}

func offsetBytes(utc int64, minutes int) []byte {
	b := make([]byte, 10)
	putBE64(b, uint64(utc))
	b[8], b[9] = byte((minutes+offsetBias)>>8), byte(minutes+offsetBias)
	return b
}

func offsetParts(b []byte) (utc int64, minutes int) {
	if len(b) != 10 {
		return 0, 0
	}
	return int64(be64(b)), int(b[8])<<8 + int(b[9]) - offsetBias
}

// moment is a value of any type of time, taken apart: the way from one type to another, and to text.
type moment struct {
	ticks   int64 // local, since 0001-01-01
	offset  int   // minutes
	hasDate bool
	hasTime bool
}

// momentOf takes a stored value apart.
func momentOf(v any, t sqlType) moment {
	switch t.id {
	case tDate:
		return moment{ticks: asInt(v) * ticksPerDay, hasDate: true}
	case tTime:
		return moment{ticks: asInt(v) + daysTo1900*ticksPerDay, hasTime: true}
	case tSmallDateTime:
		return moment{ticks: asInt(v)*ticksPerMinute + daysTo1900*ticksPerDay, hasDate: true, hasTime: true}
	case tDateTime:
		return moment{ticks: datetimeTicks(asInt(v)), hasDate: true, hasTime: true}
	case tDateTimeOffset:
		utc, offset := offsetParts(asBytes(v))
		return moment{ticks: utc + int64(offset)*ticksPerMinute, offset: offset, hasDate: true, hasTime: true}
	}
	return moment{ticks: asInt(v), hasDate: true, hasTime: true}
}

// datetimeTicks gives 1/300 s since 1900 in 100 ns since year 1: as SQL Server 2016 and newer, with all the digits.
func datetimeTicks(v int64) int64 {
	days := floorDiv(v, datetimePerDay)
	part := v - days*datetimePerDay
	return (days+daysTo1900)*ticksPerDay + (part*ticksPerSecond+150)/300
}

// store puts the moment together as another type, rounded to its precision.
func (m moment) store(t sqlType) (any, error) {
	switch t.id {
	case tDate:
		return floorDiv(m.ticks, ticksPerDay), nil
	case tTime:
		part := m.ticks - floorDiv(m.ticks, ticksPerDay)*ticksPerDay
		return roundTicks(part, t.scale) % ticksPerDay, nil
	case tSmallDateTime:
		// Seconds up to 29.998 go down, from 29.999 up.
		minutes := floorDiv(m.ticks-daysTo1900*ticksPerDay, ticksPerMinute)
		if rest := m.ticks - floorDiv(m.ticks, ticksPerMinute)*ticksPerMinute; rest >= 299_990_000 {
			minutes++
		}
		if minutes < 0 || minutes > maxSmallMinutes {
			return nil, dateOutOfRange(t)
		}
		return minutes, nil
	case tDateTime:
		days := floorDiv(m.ticks, ticksPerDay)
		part := m.ticks - days*ticksPerDay
		v := (days-daysTo1900)*datetimePerDay + (part*300+ticksPerSecond/2)/ticksPerSecond
		if v < minDatetime || v > maxDatetime {
			return nil, dateOutOfRange(t)
		}
		return v, nil
	case tDateTime2:
		v := roundTicks(m.ticks, t.scale)
		if v > maxTicks {
			v = maxTicks / pow10[7-t.scale] * pow10[7-t.scale]
		}
		return v, nil
	case tDateTimeOffset:
		v := roundTicks(m.ticks, t.scale)
		if v > maxTicks {
			v = maxTicks / pow10[7-t.scale] * pow10[7-t.scale]
		}
		utc := v - int64(m.offset)*ticksPerMinute
		if utc < 0 || utc > maxTicks {
			return nil, dateOutOfRange(t)
		}
		return offsetBytes(utc, m.offset), nil
	}
	return nil, newError(529, 16, "Explicit conversion from a date to %s is not allowed.", t.name())
}

func dateOutOfRange(t sqlType) error {
	return newError(errDateOutOfRange, 16, "The conversion of a varchar data type to a %s data type resulted in an out-of-range value.", t.name())
}

func dateConversion() error {
	return newError(errDateConversion, 16, "Conversion failed when converting date and/or time from character string.")
}

var months = [...]string{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"}

// format writes a moment in one of CONVERT's styles.
func (m moment) format(t sqlType, style int) (string, error) {
	days := floorDiv(m.ticks, ticksPerDay)
	y, mo, d := dateOf(days)
	part := m.ticks - days*ticksPerDay
	sec := part / ticksPerSecond
	h, mi, s := sec/3600, sec/60%60, sec%60
	frac := func(sep string) string {
		digits := int(t.fractionalDigits())
		if t.id == tSmallDateTime {
			digits = 0
		}
		if digits == 0 {
			return ""
		}
		return sep + fmt.Sprintf("%07d", part%ticksPerSecond)[:digits]
	}
	if t.id == tDateTime { // SQL Server shows datetime in whole milliseconds, rounded
		part = floorDiv(part+5_000, 10_000) * 10_000
	}
	date := fmt.Sprintf("%04d-%02d-%02d", y, mo, d)
	clock := fmt.Sprintf("%02d:%02d:%02d", h, mi, s)
	offset := ""
	if t.id == tDateTimeOffset {
		o, sign := m.offset, '+'
		if o < 0 {
			o, sign = -o, '-'
		}
		offset = fmt.Sprintf("%c%02d:%02d", sign, o/60, o%60)
	}
	both := func(date, sep, clock string) string {
		switch {
		case !m.hasTime:
			return date
		case !m.hasDate:
			return clock
		}
		return date + sep + clock
	}
	spaced := offset
	if spaced != "" {
		spaced = " " + spaced
	}
	if style < 0 { // without a style
		switch t.id {
		case tDateTime, tSmallDateTime:
			style = 0
		default:
			return both(date, " ", clock+frac(".")) + spaced, nil
		}
	}
	hour12, half := (h+11)%12+1, "AM"
	if h >= 12 {
		half = "PM"
	}
	switch style {
	case 0, 100:
		return both(fmt.Sprintf("%s %2d %04d", months[mo-1], d, y), " ", fmt.Sprintf("%2d:%02d%s", hour12, mi, half)) + spaced, nil
	case 1:
		return fmt.Sprintf("%02d/%02d/%02d", mo, d, y%100), nil
	case 101:
		return fmt.Sprintf("%02d/%02d/%04d", mo, d, y), nil
	case 102:
		return fmt.Sprintf("%04d.%02d.%02d", y, mo, d), nil
	case 103:
		return fmt.Sprintf("%02d/%02d/%04d", d, mo, y), nil
	case 104:
		return fmt.Sprintf("%02d.%02d.%04d", d, mo, y), nil
	case 105:
		return fmt.Sprintf("%02d-%02d-%04d", d, mo, y), nil
	case 108, 8, 24:
		return clock, nil
	case 110:
		return fmt.Sprintf("%02d-%02d-%04d", mo, d, y), nil
	case 111:
		return fmt.Sprintf("%04d/%02d/%02d", y, mo, d), nil
	case 112:
		return fmt.Sprintf("%04d%02d%02d", y, mo, d), nil
	case 12:
		return fmt.Sprintf("%02d%02d%02d", y%100, mo, d), nil
	case 114, 14:
		return clock + frac(":"), nil
	case 23:
		return date, nil
	case 20, 120:
		return both(date, " ", clock) + spaced, nil
	case 21, 25, 121:
		return both(date, " ", clock+frac(".")) + spaced, nil
	case 126:
		f := frac(".")
		if strings.Trim(f, ".0") == "" {
			f = ""
		}
		return both(date, "T", clock+f) + offset, nil
	case 127:
		m.ticks -= int64(m.offset) * ticksPerMinute
		m.offset = 0
		f, err := m.format(sqlType{id: tDateTime2, scale: t.fractionalDigits()}, 126)
		if offset != "" {
			f += "Z"
		}
		return f, err
	}
	return "", notSupported("style %d of CONVERT for dates", style)
}

// parseMoment reads a date, a time or both from text: the ISO forms, and the American slashes that us_english knows.
func parseMoment(s string) (moment, bool) {
	s = strings.TrimSpace(s)
	m := moment{ticks: daysTo1900 * ticksPerDay}
	if s == "" {
		return moment{ticks: daysTo1900 * ticksPerDay, hasDate: true, hasTime: true}, true
	}
	digits := func(s string, n int) (int, string, bool) {
		if len(s) < n {
			return 0, s, false
		}
		v, err := strconv.Atoi(s[:n])
		if err != nil || s[0] == '-' || s[0] == '+' {
			return 0, s, false
		}
		return v, s[n:], true
	}
	span := func(s string) int {
		i := 0
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		return i
	}
	rest := s
	colon := strings.IndexByte(s, ':')
	n := span(s)
	if colon < 0 || n < colon { // a date comes first
		var y, mo, d int
		var ok bool
		switch {
		case n == 8:
			y, rest, _ = digits(rest, 4)
			mo, rest, _ = digits(rest, 2)
			d, rest, ok = digits(rest, 2)
			if !ok {
				return m, false
			}
		case n == 4 && len(s) > 4 && (s[4] == '-' || s[4] == '/' || s[4] == '.'):
			sep := s[4]
			y, rest, _ = digits(rest, 4)
			k := span(rest[1:])
			if k < 1 || k > 2 {
				return m, false
			}
			mo, rest, _ = digits(rest[1:], k)
			if rest == "" || rest[0] != sep {
				return m, false
			}
			k = span(rest[1:])
			if k < 1 || k > 2 {
				return m, false
			}
			d, rest, _ = digits(rest[1:], k)
		case (n == 1 || n == 2) && len(s) > n && (s[n] == '/' || s[n] == '-' || s[n] == '.'):
			sep := s[n]
			mo, rest, _ = digits(rest, n)
			k := span(rest[1:])
			if k < 1 || k > 2 {
				return m, false
			}
			d, rest, _ = digits(rest[1:], k)
			if len(rest) < 5 || rest[0] != sep || span(rest[1:]) != 4 {
				return m, false
			}
			y, rest, _ = digits(rest[1:], 4)
		default:
			var ok bool
			if y, mo, d, rest, ok = parseNamedMonth(s); !ok {
				return m, false
			}
		}
		if y < 1 || mo < 1 || mo > 12 || d < 1 || d > daysIn(y, mo) {
			return m, false
		}
		m.ticks = dayOf(y, mo, d) * ticksPerDay
		m.hasDate = true
		if rest == "" {
			return m, true
		}
		if rest[0] != 'T' && rest[0] != ' ' {
			return m, false
		}
		rest = strings.TrimLeft(rest[1:], " ")
	}
	if rest == "" {
		return m, m.hasDate
	}
	// the time: h:mm[:ss[.fffffff]] [AM|PM] [Z|±hh:mm]
	k := span(rest)
	if k < 1 || k > 2 {
		return m, false
	}
	var h, mi, sec int
	h, rest, _ = digits(rest, k)
	var ok bool
	if strings.HasPrefix(rest, ":") {
		if mi, rest, ok = digits(rest[1:], 2); !ok {
			return m, false
		}
	} else if up := strings.ToUpper(strings.TrimSpace(rest)); !strings.HasPrefix(up, "AM") && !strings.HasPrefix(up, "PM") {
		return m, false
	}
	frac := int64(0)
	if strings.HasPrefix(rest, ":") {
		if sec, rest, ok = digits(rest[1:], 2); !ok {
			return m, false
		}
		if rest != "" && (rest[0] == '.' || rest[0] == ':') {
			k := span(rest[1:])
			if k < 1 || k > 9 {
				return m, false
			}
			f := rest[1 : 1+k]
			rest = rest[1+k:]
			for len(f) < 8 {
				f += "0"
			}
			v, _ := strconv.ParseInt(f[:8], 10, 64)
			frac = (v + 5) / 10
		}
	}
	rest = strings.TrimLeft(rest, " ")
	if up := strings.ToUpper(rest); strings.HasPrefix(up, "AM") || strings.HasPrefix(up, "PM") {
		if h < 1 || h > 12 {
			return m, false
		}
		h %= 12
		if up[0] == 'P' {
			h += 12
		}
		rest = strings.TrimLeft(rest[2:], " ")
	}
	if h > 23 || mi > 59 || sec > 59 {
		return m, false
	}
	m.hasTime = true
	m.ticks += int64(h*3600+mi*60+sec)*ticksPerSecond + frac
	switch {
	case rest == "":
	case rest == "Z" || rest == "z":
	case rest[0] == '+' || rest[0] == '-':
		if len(rest) != 6 || rest[3] != ':' {
			return m, false
		}
		oh, _, ok1 := digits(rest[1:], 2)
		om, _, ok2 := digits(rest[4:], 2)
		if !ok1 || !ok2 || om > 59 || oh*60+om > 840 {
			return m, false
		}
		m.offset = oh*60 + om
		if rest[0] == '-' {
			m.offset = -m.offset
		}
	default:
		return m, false
	}
	return m, true
}

// parseNamedMonth reads "Jan 2 2006", "2 January 2006" and the like.
func parseNamedMonth(s string) (y, mo, d int, rest string, ok bool) {
	f := strings.Fields(strings.ReplaceAll(s, ",", " "))
	if len(f) < 3 {
		return
	}
	month := func(w string) int {
		for i, name := range months {
			if len(w) >= 3 && strings.EqualFold(w[:3], name) {
				return i + 1
			}
		}
		return 0
	}
	var err1, err2 error
	if mo = month(f[0]); mo > 0 {
		d, err1 = strconv.Atoi(f[1])
	} else if mo = month(f[1]); mo > 0 {
		d, err1 = strconv.Atoi(f[0])
	}
	y, err2 = strconv.Atoi(f[2])
	if mo == 0 || err1 != nil || err2 != nil {
		return
	}
	rest = strings.Join(f[3:], " ")
	if rest != "" {
		rest = " " + rest
	}
	return y, mo, d, rest, true
}

func daysIn(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

func asInt(v any) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case float64:
		return int64(v)
	}
	return 0
}

func asBytes(v any) []byte {
	switch v := v.(type) {
	case []byte:
		return v
	case string:
		return []byte(v)
	}
	return nil
}
