package config

import (
	"reflect"
	"testing"
	"time"

	"sagemaker-datapipeline/lambda/pipeline"
)

func TestTheLongestTimeBetweenTwoTicks(t *testing.T) {
	const day = 24 * time.Hour
	for name, test := range map[string]struct {
		expression, zone string
		want             time.Duration
	}{
		"a rate":         {"rate(5 minutes)", "UTC", 5 * time.Minute},
		"a rate in days": {"rate(7 days)", "UTC", 7 * day},
		"every minute":   {"cron(* * * * ? *)", "UTC", time.Minute},
		"every minute, where an hour is doubled and ticks once": {"cron(* * * * ? *)", "Europe/Berlin", 61 * time.Minute},
		"every quarter of an hour, over the night":              {"cron(0/15 8-17 * * ? *)", "UTC", 14*time.Hour + 15*time.Minute},
		"every night": {"cron(0 3 * * ? *)", "UTC", day},
		"every night, and one is longer in autumn":        {"cron(0 3 * * ? *)", "Europe/Berlin", 25 * time.Hour},
		"every night, at a time that spring leaves out":   {"cron(30 2 * * ? *)", "Europe/Berlin", 47 * time.Hour},
		"working days, over the weekend":                  {"cron(0 4 ? * MON-FRI *)", "UTC", 3 * day},
		"working hours of working days, over the weekend": {"cron(0 8-18 ? * MON-FRI *)", "UTC", 2*day + 14*time.Hour},
		"every Monday":                                       {"cron(0 4 ? * MON *)", "UTC", 7 * day},
		"Mondays and Thursdays":                              {"cron(0 4 ? * 2,5 *)", "UTC", 4 * day},
		"the last day of the week":                           {"cron(0 4 ? * L *)", "UTC", 7 * day},
		"the first of the month":                             {"cron(0 4 1 * ? *)", "UTC", 31 * day},
		"the 31st, which February and April don't have":      {"cron(0 4 31 * ? *)", "UTC", 61 * day},
		"the last day of the month":                          {"cron(0 4 L * ? *)", "UTC", 31 * day},
		"the last working day of the month":                  {"cron(0 4 LW * ? *)", "UTC", 33 * day},
		"the working day next to the 15th":                   {"cron(0 4 15W * ? *)", "UTC", 32 * day},
		"the working day next to the 1st stays in its month": {"cron(0 4 1W * ? *)", "UTC", 33 * day},
		"the second Tuesday":                                 {"cron(0 4 ? * TUE#2 *)", "UTC", 35 * day},
		"the fifth Monday":                                   {"cron(0 4 ? * 2#5 *)", "UTC", 119 * day},
		"the last Friday":                                    {"cron(0 4 ? * 6L *)", "UTC", 35 * day},
		"a quarter":                                          {"cron(0 4 1 1,4,7,10 ? *)", "UTC", 92 * day},
		"the 29th of February":                               {"cron(0 4 29 2 ? *)", "UTC", 1461 * day},
		"two years of months, years ago":                     {"cron(0 4 1 * ? 2010-2011)", "UTC", 31 * day},
		"every fourth year from next":                        {"cron(0 4 1 1 ? 2027/4)", "UTC", 1461 * day},
		"once":                                               {"cron(0 4 1 1 ? 2030)", "UTC", 366 * day},
	} {
		t.Run(name, func(t *testing.T) {
			if remedy := checkSchedule(test.expression); remedy != "" {
				t.Fatal(remedy)
			}
			if got := gapOf(Schedule{Expression: test.expression, TimeZone: test.zone}); got != test.want {
				t.Errorf("%s in %s may pause for %s, want %s", test.expression, test.zone, got, test.want)
			}
		})
	}
}

func TestClocksAreAsPatientAsTheSchedule(t *testing.T) {
	train := &Training{}
	for name, test := range map[string]struct {
		pipeline    Pipeline
		environment Environment
		want        Clocks
	}{
		"every five minutes": {Pipeline{Schedule: Schedule{Enabled: true, Expression: "rate(5 minutes)"}, Training: train}, Environment{}, Clocks{38, 73, 198}},
		"every night":        {Pipeline{Schedule: Schedule{Enabled: true, Expression: "cron(0 3 * * ? *)", TimeZone: "UTC"}, Training: train}, Environment{}, Clocks{36*60 + 30, 61 * 60, 87 * 60}},
		"every week":         {Pipeline{Schedule: Schedule{Enabled: true, Expression: "rate(7 days)"}, Training: train}, Environment{}, Clocks{252*60 + 30, 421 * 60, 591 * 60}},
		"nothing is trained": {Pipeline{Schedule: Schedule{Enabled: true, Expression: "rate(1 hour)"}}, Environment{}, Clocks{120, 210, 0}},
		"trained every six hours": {Pipeline{Schedule: Schedule{Enabled: true, Expression: "rate(5 minutes)"}, Training: &Training{When: &When{EveryHours: 6}}}, Environment{},
			Clocks{38, 73, 24 * 60}},
		"trained less often than the schedule asks": {Pipeline{Schedule: Schedule{Enabled: true, Expression: "rate(1 hour)"}, Training: &Training{When: &When{EveryMinutes: 1}}}, Environment{},
			Clocks{120, 210, 390}},
		"trained after rows, which may never come": {Pipeline{Schedule: Schedule{Enabled: true, Expression: "rate(1 hour)"}, Training: &Training{When: &When{AfterRows: 9}}}, Environment{},
			Clocks{120, 210, 0}},
		"a person may take three days": {Pipeline{Schedule: Schedule{Enabled: true, Expression: "rate(1 hour)"}, Training: train}, Environment{Approval: &Approval{TimeoutHours: 72}},
			Clocks{120, 210, 390 + 72*60}},
		"a schedule that is off": {Pipeline{Schedule: Schedule{Expression: "rate(1 hour)"}, Training: train, Clocks: Clocks{DataMinutes: 90}}, Environment{}, Clocks{0, 90, 0}},
		"what the pipeline says goes before": {Pipeline{Schedule: Schedule{Enabled: true, Expression: "rate(1 hour)"}, Training: train, Clocks: Clocks{61, 62, 63}},
			Environment{Approval: &Approval{TimeoutHours: 72}}, Clocks{61, 62, 63}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.pipeline.ClockLimits(test.environment); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestAnEndpointCompletesItself(t *testing.T) {
	train := &Training{InstanceTypes: []string{"ml.c6i.large", "ml.c5.large"}}
	for name, test := range map[string]struct{ given, want Endpoint }{
		"one machine":                          {Endpoint{Kind: pipeline.Endpoint}, Endpoint{Kind: pipeline.Endpoint, InstanceCount: 1}},
		"autoscaling begins at the fewest":     {Endpoint{Autoscaling: &Autoscaling{Min: 3, Max: 9}}, Endpoint{Autoscaling: &Autoscaling{Min: 3, Max: 9}, InstanceCount: 3}},
		"a batch takes the training's machine": {Endpoint{Kind: pipeline.Batch}, Endpoint{Kind: pipeline.Batch, InstanceType: "ml.c6i.large", InstanceCount: 1}},
		"serverless has no machines":           {Endpoint{Kind: pipeline.Serverless}, Endpoint{Kind: pipeline.Serverless}},
	} {
		t.Run(name, func(t *testing.T) {
			got := test.given
			got.complete(train)
			if got.InstanceCount != test.want.InstanceCount || got.InstanceType != test.want.InstanceType {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
	for name, test := range map[string]struct {
		given Endpoint
		want  *Traffic
	}{
		"an update waits while its alarms are watched": {Endpoint{Kind: pipeline.Endpoint, Alarms: &EndpointAlarms{}}, &Traffic{Kind: "allAtOnce", WaitSeconds: 300, TerminationWaitSeconds: 300}},
		"an update that nobody watches doesn't wait":   {Endpoint{Kind: pipeline.Endpoint}, nil},
		"a serverless endpoint isn't rolled back":      {Endpoint{Kind: pipeline.Serverless, Alarms: &EndpointAlarms{}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if test.given.complete(train); !reflect.DeepEqual(test.given.Traffic, test.want) {
				t.Errorf("got %+v, want %+v", test.given.Traffic, test.want)
			}
		})
	}
	for machines, want := range map[int]int{2: 50, 3: 34, 4: 25, 10: 10, 50: 10} {
		e := Endpoint{InstanceCount: machines, Traffic: &Traffic{Kind: "canary"}}
		if e.complete(train); e.Traffic.Percent != want {
			t.Errorf("the canary of %d machines has %d %%, want %d", machines, e.Traffic.Percent, want)
		}
	}
}

func TestASpotJobMayWaitAnHourMoreThanItRuns(t *testing.T) {
	for runtime, want := range map[int]int{3600: 7200, longestJobSeconds: longestJobSeconds} {
		training := Training{MaxRuntimeSeconds: runtime, Spot: &Spot{}}
		if training.complete(); training.Spot.MaxWaitSeconds != want {
			t.Errorf("a job of %d s may take %d s in all, want %d", runtime, training.Spot.MaxWaitSeconds, want)
		}
	}
}
