package sqlserver

import (
	"encoding/binary"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
)

const utf8Page = 65001

// codePages are the code pages of char and varchar beside 1252 and UTF-8.
var codePages = map[int]encoding.Encoding{
	874: charmap.Windows874, 932: japanese.ShiftJIS, 936: simplifiedchinese.GBK, 949: korean.EUCKR, 950: traditionalchinese.Big5,
	1250: charmap.Windows1250, 1251: charmap.Windows1251, 1253: charmap.Windows1253, 1254: charmap.Windows1254,
	1255: charmap.Windows1255, 1256: charmap.Windows1256, 1257: charmap.Windows1257, 1258: charmap.Windows1258,
}

// locales are the beginnings of the names of the Windows collations that the server knows.
// https://learn.microsoft.com/sql/t-sql/statements/windows-collation-name-transact-sql
var locales = []struct {
	prefix string
	lcid   uint32
	page   int
}{
	{"Latin1_General", 0x0409, 1252}, {"Cyrillic_General", 0x0419, 1251}, {"Japanese", 0x0411, 932}, {"Chinese_PRC", 0x0804, 936},
	{"Korean", 0x0412, 949}, {"Korean_Wansung", 0x0412, 949}, {"Chinese_Taiwan_Stroke", 0x0404, 950}, {"Greek", 0x0408, 1253},
	{"Turkish", 0x041F, 1254}, {"Hebrew", 0x040D, 1255}, {"Arabic", 0x0401, 1256}, {"Polish", 0x0415, 1250}, {"Czech", 0x0405, 1250},
	{"Hungarian", 0x040E, 1250}, {"Romanian", 0x0418, 1250}, {"Lithuanian", 0x0427, 1257}, {"Latvian", 0x0426, 1257},
	{"Vietnamese", 0x042A, 1258}, {"Thai", 0x041E, 874}, {"Ukrainian", 0x0422, 1251}, {"French", 0x040C, 1252},
	{"Finnish_Swedish", 0x040B, 1252}, {"Modern_Spanish", 0x0C0A, 1252}, {"Danish_Norwegian", 0x0406, 1252},
}

// collationInfo is a collation: the code page of its char and varchar, and its five bytes on the wire. Texts are compared by their
// code points or by one order of letters, with or without their case; accents, kana and width always count.
type collationInfo struct {
	name    string
	lcid    uint32
	page    int
	version uint32 // 0 to 3, for names without a number, with 90, 100, 140
	flags   uint32 // as on the wire: 1 ignores case, 2 accents, 4 kana, 8 width, 0x10 and 0x20 are binary, 0x40 is UTF-8
	sortID  byte
	wire    [5]byte
}

// collations are those that the server knows; a type's number is the place in here. The first is the server's own.
var collations = func() []collationInfo {
	list := []collationInfo{
		{name: collationOfServer, lcid: 0x0409, page: 1252, flags: 0x0D, sortID: 0x34},
		{name: "SQL_Latin1_General_CP1_CS_AS", lcid: 0x0409, page: 1252, flags: 0x0C, sortID: 0x33},
	}
	versions := []string{"", "_90", "_100", "_140"}
	for _, l := range locales {
		for v, number := range versions {
			for _, s := range []struct {
				suffix string
				flags  uint32
			}{{"_CI_AS", 0x0D}, {"_CS_AS", 0x0C}, {"_CI_AI", 0x0F}, {"_BIN", 0x10}, {"_BIN2", 0x20}} {
				list = append(list, collationInfo{name: l.prefix + number + s.suffix, lcid: l.lcid, page: l.page, version: uint32(v), flags: s.flags})
				if v < 2 {
					continue // supplementary characters and UTF-8 came with 100
				}
				unicode := s.suffix + "_SC_UTF8"
				if strings.HasPrefix(s.suffix, "_BIN") {
					unicode = s.suffix + "_UTF8"
				} else {
					list = append(list, collationInfo{name: l.prefix + number + s.suffix + "_SC", lcid: l.lcid, page: l.page, version: uint32(v), flags: s.flags})
				}
				list = append(list, collationInfo{name: l.prefix + number + unicode, lcid: l.lcid, page: utf8Page, version: uint32(v), flags: s.flags | 0x40})
			}
		}
	}
	for i := range list {
		c := &list[i]
		binary.LittleEndian.PutUint32(c.wire[:], c.lcid|c.flags<<20|c.version<<28)
		c.wire[4] = c.sortID
	}
	return list
}()

// collationNumber finds a collation by its name; "" is the server's own.
func collationNumber(name string) (uint16, bool) {
	if name == "" {
		return 0, true
	}
	i := slices.IndexFunc(collations, func(c collationInfo) bool { return strings.EqualFold(c.name, name) })
	return uint16(max(i, 0)), i >= 0
}

// collationOf is the number of the collation that a column was declared with.
func collationOf(t sqlType, name string) (uint16, error) {
	n, ok := collationNumber(name)
	if !ok {
		return 0, newError(448, 16, "Invalid collation '%s': the local SQL Server does not know it.", name)
	}
	if !t.isString() {
		n = 0
	}
	return n, nil
}

// collationOfWire finds a collation by its bytes; a client's that isn't known is taken for the server's own.
func collationOfWire(b []byte) uint16 {
	i := slices.IndexFunc(collations, func(c collationInfo) bool { return slices.Equal(c.wire[:], b) })
	return uint16(max(i, 0))
}

// comparison is how texts of the type are compared.
func (t sqlType) comparison() string {
	switch flags := collations[t.coll].flags; {
	case flags&0x30 != 0:
		return byCodePoint
	case flags&1 == 0:
		return countingCase
	}
	return ignoringCase
}

// commonCollation is the collation in which two texts meet: what COLLATE says wins over a column's, and that over the server's own,
// which a literal and a variable have.
func commonCollation(a, b sqlType) (coll uint16, collated bool, err error) {
	switch {
	case a.coll == b.coll:
		return a.coll, a.collated || b.collated, nil
	case a.collated && !b.collated:
		return a.coll, true, nil
	case b.collated && !a.collated:
		return b.coll, true, nil
	case a.coll != 0 && b.coll != 0 || a.collated:
		return 0, false, newError(468, 16, "Cannot resolve the collation conflict between \"%s\" and \"%s\".", collations[a.coll].name, collations[b.coll].name)
	}
	return max(a.coll, b.coll), false, nil
}

// unitPerCharacter says whether a character of the basic plane takes one unit of the type's length.
func (t sqlType) unitPerCharacter() bool {
	return t.isUnicode() || t.page() != utf8Page && (t.page() < 900 || t.page() > 999)
}

// page is the code page of a text that isn't Unicode.
func (t sqlType) page() int { return collations[t.coll].page }

// appendPage appends a text in a code page. A character that it doesn't have becomes a question mark.
func appendPage(dst, s []byte, page int) []byte {
	switch page {
	case 1252:
		return appendCP1252(dst, s)
	case utf8Page: // half a pair has no form in UTF-8
		for len(s) > 0 {
			r, n := decodeRune(s)
			dst = utf8.AppendRune(dst, r)
			s = s[n:]
		}
		return dst
	}
	e := codePages[page].NewEncoder()
	for len(s) > 0 {
		r, n := decodeRune(s)
		s = s[n:]
		if r < utf8.RuneSelf {
			dst = append(dst, byte(r))
			continue
		}
		if b, err := e.Bytes(utf8.AppendRune(nil, r)); err == nil && utf8.ValidRune(r) {
			dst = append(dst, b...)
		} else if dst = append(dst, '?'); r > 0xFFFF {
			dst = append(dst, '?')
		}
	}
	return dst
}

// fromPage decodes a code page.
func fromPage(b []byte, page int) string {
	switch page {
	case 1252:
		return fromCP1252(b)
	case utf8Page:
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	out, err := codePages[page].NewDecoder().Bytes(b)
	if err != nil {
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	return string(out)
}

// inPage replaces what the type's code page doesn't have.
func (t sqlType) inPage(s string) string {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return fromPage(appendPage(nil, []byte(s), t.page()), t.page())
		}
	}
	return s
}

// units is the length of a text as the type counts it: UTF-16 units, or bytes in its code page.
func (t sqlType) units(s string) int {
	if t.isUnicode() || t.page() == 1252 {
		return utf16Length(s)
	}
	return len(appendPage(nil, []byte(s), t.page()))
}

// cut is the text's first n units. What a code page writes in several bytes isn't halved.
func (t sqlType) cut(s string, n int) string {
	if t.isUnicode() || t.page() == 1252 {
		return cutUTF16(s, n)
	}
	for at := 0; at < len(s); {
		_, size := decodeRune([]byte(s[at:min(at+4, len(s))]))
		if n -= len(appendPage(nil, []byte(s[at:at+size]), t.page())); n < 0 {
			return s[:at]
		}
		at += size
	}
	return s
}
