-- One row per customer: how they use and pay for the service, and whether they left.
--
-- Name and Email aren't selected: what the model has no use for never leaves the database.
SELECT
    c.CustomerId,
    c.Churned,

    CASE c.Segment
        WHEN 'basic' THEN 0
        WHEN 'plus' THEN 1
        WHEN 'pro' THEN 2
        WHEN 'business' THEN 3
        ELSE 9
    END AS SegmentCode,
    c.MonthlyFee,
    c.DiscountPct,
    c.AutoRenew,
    c.TenureMonths,

    c.LoginsLast30d,
    -- Days up to the run and not up to GETDATE(): a run that is repeated later computes the same. NULL: never logged in.
    DATEDIFF(day, c.LastLoginAt, @runTime) AS DaysSinceLogin,
    c.SupportTickets90d,
    c.NpsScore,                                                     -- NULL: was not asked, or did not answer
    c.PaymentFailures
FROM dbo.Customers AS c
