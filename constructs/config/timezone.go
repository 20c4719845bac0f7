package config

import (
	_ "embed"
	"slices"
	"strings"
)

// The names of the IANA time zone database, one a line. They are embedded because a machine's own database decides
// differently from one machine to the next, and because the nearest name has to be found among them. They come from Go's
// own copy of the database, lib/time/zoneinfo.zip, without the folders and Factory.
//
//go:embed timezones.txt
var timeZoneList string

var timeZones = strings.Fields(timeZoneList)

// checkTimeZone says what to write where there is no such zone; "" is a zone.
func checkTimeZone(zone string) string {
	if slices.Contains(timeZones, zone) {
		return ""
	}
	remedy := "write a name of the IANA time zone database, such as Europe/Berlin"
	for _, known := range timeZones {
		// Berlin: the place alone.
		if _, place, ok := strings.Cut(known, "/"); ok && strings.EqualFold(place, zone) {
			return `did you mean "` + known + `"? ` + upperFirst(remedy)
		}
	}
	if near := nearest(zone, timeZones); near != "" {
		return `did you mean "` + near + `"? ` + upperFirst(remedy)
	}
	return remedy
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
