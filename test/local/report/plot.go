package report

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"

	"sagemaker-datapipeline/test/local/heldout"
)

// plot is a drawing with two axes. Colours and type come from the page's style sheet, so that it follows light and dark.
type plot struct {
	title          string
	xLabel, yLabel string
	x, y           axis
	body           strings.Builder
}

// axis is a range with the marks on it.
type axis struct {
	low, high float64
	marks     []float64
	format    func(float64) string
}

// The drawing's size and margins, in the units of its viewBox.
const (
	plotWidth, plotHeight = 440.0, 330.0
	marginLeft            = 64.0
	marginRight           = 14.0
	marginTop             = 14.0
	marginBottom          = 46.0
)

func (p *plot) px(x float64) float64 {
	return marginLeft + (x-p.x.low)/(p.x.high-p.x.low)*(plotWidth-marginLeft-marginRight)
}

func (p *plot) py(y float64) float64 {
	return plotHeight - marginBottom - (y-p.y.low)/(p.y.high-p.y.low)*(plotHeight-marginTop-marginBottom)
}

// line draws a curve in data units.
func (p *plot) line(class string, points []heldout.Point) {
	coordinates := make([]string, len(points))
	for i, q := range points {
		coordinates[i] = fmt.Sprintf("%.1f,%.1f", p.px(q.X), p.py(q.Y))
	}
	fmt.Fprintf(&p.body, `<polyline class="%s" points="%s"/>`, class, strings.Join(coordinates, " "))
}

func (p *plot) dots(class string, radius float64, points []heldout.Point) {
	for _, q := range points {
		fmt.Fprintf(&p.body, `<circle class="%s" cx="%.1f" cy="%.1f" r="%.1f"/>`, class, p.px(q.X), p.py(q.Y), radius)
	}
}

// text writes a word at a place in data units.
func (p *plot) text(class, anchor string, x, y, dx, dy float64, s string) {
	fmt.Fprintf(&p.body, `<text class="%s" x="%.1f" y="%.1f" text-anchor="%s">%s</text>`,
		class, p.px(x)+dx, p.py(y)+dy, anchor, template.HTMLEscapeString(s))
}

// svg draws the axes and what was put on them.
func (p *plot) svg() template.HTML {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="plot" viewBox="0 0 %g %g" role="img" aria-label="%s">`, plotWidth, plotHeight, template.HTMLEscapeString(p.title))
	bottom, right := plotHeight-marginBottom, plotWidth-marginRight
	for _, m := range p.y.marks {
		y := p.py(m)
		fmt.Fprintf(&b, `<line class="grid" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/>`, marginLeft, right, y, y)
		fmt.Fprintf(&b, `<text class="mark" x="%g" y="%.1f" text-anchor="end">%s</text>`, marginLeft-8, y+4, p.y.format(m))
	}
	for _, m := range p.x.marks {
		x := p.px(m)
		fmt.Fprintf(&b, `<line class="grid" x1="%.1f" x2="%.1f" y1="%g" y2="%g"/>`, x, x, marginTop, bottom)
		fmt.Fprintf(&b, `<text class="mark" x="%.1f" y="%g" text-anchor="middle">%s</text>`, x, bottom+18, p.x.format(m))
	}
	fmt.Fprintf(&b, `<path class="axis" d="M%g %gV%gH%g"/>`, marginLeft, marginTop, bottom, right)
	fmt.Fprintf(&b, `<text class="label" x="%g" y="%g" text-anchor="middle">%s</text>`,
		(marginLeft+right)/2, plotHeight-8, template.HTMLEscapeString(p.xLabel))
	fmt.Fprintf(&b, `<text class="label" transform="translate(13 %g) rotate(-90)" text-anchor="middle">%s</text>`,
		(marginTop+bottom)/2, template.HTMLEscapeString(p.yLabel))
	b.WriteString(p.body.String())
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) //nolint:gosec // made of numbers and escaped text
}

// shares is an axis from 0 to 1.
func shares() axis {
	return axis{0, 1, []float64{0, .25, .5, .75, 1}, func(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }}
}

// span makes an axis that holds the values, with about count marks at round numbers.
func span(low, high float64, count int) axis {
	if high <= low {
		high = low + 1
	}
	step := math.Pow(10, math.Floor(math.Log10((high-low)/float64(count))))
	for _, factor := range []float64{1, 2, 5, 10} {
		if (high-low)/(step*factor) <= float64(count) {
			step *= factor
			break
		}
	}
	a := axis{low: math.Floor(low/step+1e-9) * step, high: math.Ceil(high/step-1e-9) * step}
	for i := 0; ; i++ {
		m := a.low + float64(i)*step
		if m > a.high+step/2 {
			break
		}
		a.marks = append(a.marks, m)
	}
	digits := max(0, -int(math.Floor(math.Log10(step)+1e-9)))
	a.format = func(x float64) string { return strconv.FormatFloat(x, 'f', digits, 64) }
	return a
}

// curves draws the ROC curves of a pipeline's runs, the newest on top.
func curves(ticks []Tick) template.HTML {
	p := plot{
		title:  "ROC curve on held-out rows",
		xLabel: "false positive rate", yLabel: "true positive rate", x: shares(), y: shares(),
	}
	p.line("chance", []heldout.Point{{X: 0, Y: 0}, {X: 1, Y: 1}})
	p.text("note", "start", .72, .62, 0, 0, "guessing")
	for i, t := range ticks {
		p.line(fmt.Sprintf("curve run%d", i+1), t.HeldOut.Plot)
	}
	for i, t := range ticks {
		p.text(fmt.Sprintf("key run%d", i+1), "end", 1, 0, -10, -12-18*float64(len(ticks)-1-i),
			fmt.Sprintf("run %d: AUC %.3f", i+1, t.HeldOut.AUC))
	}
	return p.svg()
}

// scatter draws predictions against actual values of the newest run.
func scatter(t Tick) template.HTML {
	high := 0.0
	for _, q := range t.HeldOut.Plot {
		high = max(high, q.X, q.Y)
	}
	a := span(0, high, 6)
	p := plot{
		title:  "Predicted against actual " + t.Signature.Label,
		xLabel: "actual " + t.Signature.Label, yLabel: "predicted", x: a, y: a,
	}
	p.dots("dot", 2.6, t.HeldOut.Plot)
	p.line("chance", []heldout.Point{{X: 0, Y: 0}, {X: a.high, Y: a.high}})
	p.text("note", "start", .88*a.high, .78*a.high, 0, 0, "exact")
	return p.svg()
}

// answers draws what the endpoint answered for one row while its model was replaced.
func answers(t Tick) template.HTML {
	var points []heldout.Point
	low, high := math.Inf(1), math.Inf(-1)
	for _, a := range t.Probes {
		if a.Error == "" {
			points = append(points, heldout.Point{X: a.At - t.Start, Y: a.Score})
			low, high = min(low, a.Score), max(high, a.Score)
		}
	}
	if len(points) == 0 {
		return ""
	}
	pad := max((high-low)*.4, math.Abs(high)*.01, 1e-3)
	y := span(low-pad, high+pad, 5)
	if t.Signature.Task == "binary" {
		y.high, y.low = min(y.high, 1), max(y.low, 0)
		y.marks = within(y.marks, y.low, y.high)
	}
	p := plot{
		title:  "Answers of the endpoint while its model was replaced",
		xLabel: "seconds since the run's event", yLabel: "answer for one row",
		x: span(0, points[len(points)-1].X, 6), y: y,
	}
	// The point from which on every answer is the new model's.
	change := len(points)
	for change > 0 && points[change-1].Y == points[len(points)-1].Y {
		change--
	}
	if change > 0 && change < len(points) {
		x := (points[change-1].X + points[change].X) / 2
		p.line("change", []heldout.Point{{X: x, Y: y.low}, {X: x, Y: y.high}})
	}
	p.dots("dot run1", 3, points[:change])
	p.dots("dot run2", 3, points[change:])
	if change > 0 {
		p.text("key run1", "start", points[0].X, points[0].Y, 4, -10, fmt.Sprintf("run 1's model: %.4g", points[0].Y))
	}
	if change < len(points) {
		last := points[len(points)-1]
		dy := 20.0
		if change > 0 && last.Y > points[0].Y {
			dy = -10
		}
		p.text("key run2", "end", last.X, last.Y, -2, dy, fmt.Sprintf("run 2's: %.4g", last.Y))
	}
	return p.svg()
}

func within(marks []float64, low, high float64) []float64 {
	var kept []float64
	for _, m := range marks {
		if m >= low-1e-9 && m <= high+1e-9 {
			kept = append(kept, m)
		}
	}
	return kept
}
