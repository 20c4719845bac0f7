package config

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata"
)

func TestScheduleExpressions(t *testing.T) {
	for name, test := range map[string]struct{ expression, remedy string }{
		"every night":                                 {"cron(0 2 * * ? *)", ""},
		"every Monday by name":                        {"cron(0 4 ? * MON *)", ""},
		"every Monday by number":                      {"cron(0 4 ? * 2 *)", ""},
		"working days in small letters":               {"cron(0 4 ? * mon-fri *)", ""},
		"every quarter of an hour in working hours":   {"cron(0/15 8-17 ? * MON-FRI *)", ""},
		"every fifth minute":                          {"cron(*/5 * * * ? *)", ""},
		"a step within a range":                       {"cron(10-50/10 * * * ? *)", ""},
		"a list of hours":                             {"cron(0 6,12,18 * * ? *)", ""},
		"the last day of the month":                   {"cron(0 0 L * ? *)", ""},
		"the last working day of the month":           {"cron(0 0 LW * ? *)", ""},
		"the working day next to the 15th":            {"cron(0 0 15W * ? *)", ""},
		"the second Tuesday":                          {"cron(0 0 ? * 3#2 *)", ""},
		"the second Tuesday by name":                  {"cron(0 0 ? * TUE#2 *)", ""},
		"the last Friday of a quarter, for two years": {"cron(15 10 ? 3,6,9,12 6L 2026-2027)", ""},
		"the last day of the week":                    {"cron(0 0 ? * L *)", ""},
		"months by name":                              {"cron(0 0 1 JAN,JUL ? *)", ""},
		"the 29th of February":                        {"cron(0 0 29 2 ? *)", ""},
		"every minute":                                {"rate(1 minute)", ""},
		"every five minutes":                          {"rate(5 minutes)", ""},
		"every week":                                  {"rate(7 days)", ""},
		"nothing":                                     {"", "or rate(value unit)"},
		"a word":                                      {"daily", "or rate(value unit)"},
		"a crontab's shorthand":                       {"@daily", "write cron(minutes hours"},
		"a crontab's line":                            {"0 2 * * *", "write cron(minutes hours"},
		"a crontab's line in brackets gets its year":  {"cron(0 2 * * *)", "add the year, the sixth field: cron(0 2 * * ? *)"},
		"a crontab's weekday gets its year and its ?": {"cron(0 2 * * MON)", "cron(0 2 ? * MON *)"},
		"four fields":                                 {"cron(0 2 * *)", "six fields (minutes hours day-of-month month day-of-week year) instead of 4"},
		"seven fields, with seconds":                  {"cron(0 0 2 * * ? *)", "instead of 7"},
		"an open bracket":                             {"cron(0 2 * * ? *", "close the expression: cron(…)"},
		"a single run":                                {"at(2026-01-01T02:00:00)", "a pipeline's schedule recurs"},
		"a space in front":                            {" cron(0 2 * * ? *)", "write cron("},
		"no question mark":                            {"cron(0 2 * * * *)", "write ? in exactly one of day-of-month and day-of-week: cron(0 2 * * ? *)"},
		"two question marks":                          {"cron(0 2 ? * ? *)", "cron(0 2 * * ? *)"},
		"a weekday without a question mark":           {"cron(0 2 * * MON *)", "cron(0 2 ? * MON *)"},
		"a day and a weekday":                         {"cron(0 2 13 * FRI *)", "cron(0 2 13 * ? *)"},
		"a question mark for the hours":               {"cron(0 ? * * ? *)", "in the field hours (\"?\"): ? is for day-of-month and day-of-week: write *"},
		"minute 60":                                   {"cron(60 2 * * ? *)", "in the field minutes (\"60\"): write 0 to 59"},
		"hour 24":                                     {"cron(0 24 * * ? *)", "in the field hours (\"24\"): write 0 to 23"},
		"day 0":                                       {"cron(0 0 0 * ? *)", "write 1 to 31"},
		"weekday 0, which is Sunday elsewhere":        {"cron(0 0 ? * 0 *)", "write 1 to 7, or SUN to SAT"},
		"a month in another language":                 {"cron(0 0 1 MAI ? *)", "write 1 to 12, or JAN to DEC"},
		"a year before the clock's":                   {"cron(0 0 1 1 ? 1969)", "write 1970 to 2199"},
		"a range that runs backwards":                 {"cron(0 22-2 * * ? *)", "the range 22-2 runs backwards: write 22-23,0-2"},
		"a step of nothing":                           {"cron(*/0 * * * ? *)", "write a step from 1 to 59 behind the /"},
		"a step beyond the hour":                      {"cron(*/90 * * * ? *)", "write a step from 1 to 59 behind the /"},
		"a step of weekdays":                          {"cron(0 0 ? * 2/2 *)", "write the days in a list, such as MON,WED,FRI"},
		"an empty entry of a list":                    {"cron(0 2,,4 * * ? *)", "take the empty entry out of the list"},
		"everything in a list":                        {"cron(0 *,4 * * ? *)", "* stands alone"},
		"the sixth Monday":                            {"cron(0 0 ? * 2#6 *)", "1 to 5 times"},
		"two of the n-th weekdays":                    {"cron(0 0 ? * 2#1,3#1 *)", "2#1 stands alone"},
		"L for the hours":                             {"cron(0 L * * ? *)", "write 0 to 23"},
		"the working day next to the 32nd":            {"cron(0 0 32W * ? *)", "write 1 to 31"},
		"two fields wrong are both named":             {"cron(61 25 * * ? *)", "in the field hours"},
		"a day that its month doesn't have":           {"cron(0 0 31 2 ? *)", "this would never run"},
		"a day that none of its months has":           {"cron(0 0 31 4,6,9,11 ? *)", "this would never run"},
		"a rate of nothing":                           {"rate(0 minutes)", "a whole number of at least 1"},
		"a rate with a fraction":                      {"rate(1.5 hours)", "a whole number"},
		"a rate below zero":                           {"rate(-5 minutes)", "a whole number"},
		"a rate faster than a minute":                 {"rate(30 seconds)", "at least a minute"},
		"a rate in weeks":                             {"rate(2 weeks)", "rate(14 days)"},
		"a rate in months":                            {"rate(2 months)", "minutes, hours or days"},
		"one in the plural":                           {"rate(1 minutes)", "in the singular: rate(1 minute)"},
		"five in the singular":                        {"rate(5 minute)", "in the plural: rate(5 minutes)"},
		"a rate without a space":                      {"rate(5minutes)", "write rate(value unit)"},
		"a rate that overflows":                       {"rate(99999999999999999999 days)", "a whole number"},
	} {
		t.Run(name, func(t *testing.T) {
			got := checkSchedule(test.expression)
			if (test.remedy == "") != (got == "") || !strings.Contains(got, test.remedy) {
				t.Errorf("%s: got %q, want %q", test.expression, got, test.remedy)
			}
		})
	}
}

func FuzzSchedule(f *testing.F) {
	f.Add("cron(0 2 * * ? *)")
	f.Add("rate(5 minutes)")
	f.Add("cron(0/0 L 31W,L 13-1 8#9 *)")
	f.Fuzz(func(_ *testing.T, expression string) { checkSchedule(expression) })
}

func TestTimeZones(t *testing.T) {
	for name, test := range map[string]struct{ zone, remedy string }{
		"a place":                     {"Europe/Berlin", ""},
		"universal time":              {"UTC", ""},
		"an old name":                 {"Asia/Calcutta", ""},
		"a misspelt place":            {"America/New York", `did you mean "America/New_York"?`},
		"a place in another case":     {"europe/berlin", `did you mean "Europe/Berlin"?`},
		"a place without a continent": {"tokyo", `did you mean "Asia/Tokyo"?`},
		"an offset":                   {"+01:00", "a name of the IANA time zone database"},
		"the machine's own":           {"Local", "a name of the IANA time zone database"},
		"nothing":                     {"", "a name of the IANA time zone database"},
	} {
		t.Run(name, func(t *testing.T) {
			got := checkTimeZone(test.zone)
			if (test.remedy == "") != (got == "") || !strings.Contains(strings.ToLower(got), strings.ToLower(test.remedy)) {
				t.Errorf("%s: got %q, want %q", test.zone, got, test.remedy)
			}
		})
	}
}

func TestEveryListedTimeZoneIsOne(t *testing.T) {
	for _, zone := range timeZones {
		if _, err := time.LoadLocation(zone); err != nil {
			t.Errorf("%s: %v", zone, err)
		}
	}
	if len(timeZones) < 500 {
		t.Errorf("the list has %d time zones", len(timeZones))
	}
}
