package sqlserver

import (
	"bytes"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"sagemaker-datapipeline/test/local/sqlserver/sqlite"
)

// cp1252High are the characters of code page 1252 at 0x80–0x9F; 0 is a code without a character, which Windows maps to
// the control character of the same number.
var cp1252High = [32]rune{
	0x20AC, 0, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017D, 0,
	0, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0, 0x017E, 0x0178,
}

var cp1252Back = func() map[rune]byte {
	m := map[rune]byte{}
	for i, r := range cp1252High {
		if r == 0 {
			r = rune(0x80 + i)
		}
		m[r] = byte(0x80 + i)
	}
	return m
}()

// appendCP1252 appends the text in code page 1252. A character that it doesn't have becomes a question mark, two for one
// outside the basic plane.
func appendCP1252(dst []byte, s []byte) []byte {
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			dst = append(dst, s[i])
			i++
			continue
		}
		r, n := decodeRune(s[i:])
		i += n
		switch {
		case r >= 0xA0 && r <= 0xFF:
			dst = append(dst, byte(r))
		case r > 0xFFFF:
			dst = append(dst, '?', '?')
		default:
			if b, ok := cp1252Back[r]; ok {
				dst = append(dst, b)
			} else {
				dst = append(dst, '?')
			}
		}
	}
	return dst
}

// fromCP1252 decodes code page 1252.
func fromCP1252(b []byte) string {
	ascii := true
	for _, c := range b {
		if c >= 0x80 {
			ascii = false
			break
		}
	}
	if ascii {
		return string(b)
	}
	out := make([]byte, 0, len(b)+len(b)/4)
	for _, c := range b {
		r := rune(c)
		if c >= 0x80 && c < 0xA0 {
			if h := cp1252High[c-0x80]; h != 0 {
				r = h
			}
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out)
}

// decodeRune is utf8.DecodeRune that knows the three bytes of a lone surrogate.
func decodeRune(s []byte) (rune, int) {
	r, n := utf8.DecodeRune(s)
	if r == utf8.RuneError && n == 1 && len(s) >= 3 && s[0] == 0xED && s[1]&0xE0 == 0xA0 && s[2]&0xC0 == 0x80 {
		return 0xD000 | rune(s[1]&0x3F)<<6 | rune(s[2]&0x3F), 3
	}
	return r, n
}

// appendUTF16 appends the text in UTF-16LE.
func appendUTF16(dst []byte, s []byte) []byte {
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			dst = append(dst, s[i], 0)
			i++
			continue
		}
		r, n := decodeRune(s[i:])
		i += n
		if r > 0xFFFF {
			hi, lo := utf16.EncodeRune(r)
			dst = append(dst, byte(hi), byte(hi>>8), byte(lo), byte(lo>>8))
		} else {
			dst = append(dst, byte(r), byte(r>>8))
		}
	}
	return dst
}

// fromUTF16 decodes UTF-16LE; an odd last byte is dropped, a lone surrogate is kept as it is.
func fromUTF16(b []byte) string {
	out := make([]byte, 0, len(b)/2+8)
	for i := 0; i+1 < len(b); i += 2 {
		r := rune(b[i]) | rune(b[i+1])<<8
		if utf16.IsSurrogate(r) {
			if i+3 < len(b) {
				if full := utf16.DecodeRune(r, rune(b[i+2])|rune(b[i+3])<<8); full != unicode.ReplacementChar {
					out = utf8.AppendRune(out, full)
					i += 2
					continue
				}
			}
			out = append(out, 0xE0|byte(r>>12), 0x80|byte(r>>6)&0x3F, 0x80|byte(r)&0x3F)
			continue
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out)
}

// utf16Length is the length of the text as nvarchar counts it.
func utf16Length(s string) int {
	n := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c < 0x80 || c >= 0xC0 && c < 0xF0:
			n++
		case c >= 0xF0:
			n += 2
		}
	}
	return n
}

// cutUTF16 is the text's first n UTF-16 units, and the byte where they end.
func cutUTF16(s string, n int) string {
	b := []byte(s)
	for i := 0; i < len(b); {
		r, size := decodeRune(b[i:])
		units := 1
		if r > 0xFFFF {
			units = 2
		}
		if units > n {
			if n == 1 { // half a pair stays, as a lone surrogate
				hi, _ := utf16.EncodeRune(r)
				return s[:i] + fromUTF16([]byte{byte(hi), byte(hi >> 8)})
			}
			return s[:i]
		}
		n -= units
		i += size
	}
	return s
}

// toVarchar replaces what code page 1252 doesn't have.
func toVarchar(s string) string {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return fromCP1252(appendCP1252(nil, []byte(s)))
		}
	}
	return s
}

// The ways in which texts are compared, by their names in SQLite.
const (
	ignoringCase = "mssql"
	countingCase = "mssql_cs"
	byCodePoint  = "mssql_bin"
)

func init() {
	sqlite.RegisterCollation(ignoringCase, compareText)
	sqlite.RegisterCollation(countingCase, func(a, b []byte) int {
		if d := compareText(a, b); d != 0 {
			return d
		}
		// Small letters come first.
		return bytes.Compare(bytes.TrimRight(b, " "), bytes.TrimRight(a, " "))
	})
	sqlite.RegisterCollation(byCodePoint, func(a, b []byte) int {
		return bytes.Compare(bytes.TrimRight(a, " "), bytes.TrimRight(b, " "))
	})
}

// compareText orders texts as the server's default collation does, near enough: case doesn't count, trailing blanks
// don't count, blanks and punctuation come before digits, digits before letters, an accented letter follows its base.
func compareText(a, b []byte) int {
	for len(a) > 0 && a[len(a)-1] == ' ' {
		a = a[:len(a)-1]
	}
	for len(b) > 0 && b[len(b)-1] == ' ' {
		b = b[:len(b)-1]
	}
	for len(a) > 0 && len(b) > 0 {
		x, y := a[0], b[0]
		if x < utf8.RuneSelf && y < utf8.RuneSelf {
			if x != y {
				if d := int(asciiWeight[x]) - int(asciiWeight[y]); d != 0 {
					return d
				}
			}
			a, b = a[1:], b[1:]
			continue
		}
		r, n := decodeRune(a)
		s, m := decodeRune(b)
		if r != s {
			if d := runeWeight(r) - runeWeight(s); d != 0 {
				return d
			}
		}
		a, b = a[n:], b[m:]
	}
	// Blanks weigh less than anything, so what is longer is greater unless it goes on below a blank (control characters).
	return len(a) - len(b)
}

// asciiWeight are the places of the ASCII characters in the collation's order.
var asciiWeight = func() (w [128]uint8) {
	n := uint8(1)
	for c := range 32 {
		w[c] = n
		n++
	}
	for _, c := range " !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\x7f" {
		w[c] = n
		n++
	}
	for c := '0'; c <= '9'; c++ {
		w[c] = n
		n++
	}
	for c := 'A'; c <= 'Z'; c++ {
		w[c], w[c+32] = n, n
		n++
	}
	return
}()

// latinBase are the base letters of the accented letters of Latin-1.
var latinBase = map[rune]byte{
	'À': 'A', 'Á': 'A', 'Â': 'A', 'Ã': 'A', 'Ä': 'A', 'Å': 'A', 'Ç': 'C', 'È': 'E', 'É': 'E', 'Ê': 'E', 'Ë': 'E', 'Ì': 'I',
	'Í': 'I', 'Î': 'I', 'Ï': 'I', 'Ñ': 'N', 'Ò': 'O', 'Ó': 'O', 'Ô': 'O', 'Õ': 'O', 'Ö': 'O', 'Ù': 'U', 'Ú': 'U', 'Û': 'U',
	'Ü': 'U', 'Ý': 'Y', 'Š': 'S', 'Ž': 'Z', 'Ÿ': 'Y',
}

// runeWeight puts an accented letter between its base letter and the next one, and what isn't Latin after all that is.
func runeWeight(r rune) int {
	if r < utf8.RuneSelf {
		return int(asciiWeight[r]) << 24
	}
	r = unicode.ToUpper(r)
	if base, ok := latinBase[r]; ok {
		return int(asciiWeight[base])<<24 | int(r)
	}
	if r < utf8.RuneSelf {
		return int(asciiWeight[r]) << 24
	}
	return 200<<24 | int(r)
}
