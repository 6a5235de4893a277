"""
The customer tier definitions as tables, row by row: what `test_customer_tiers` expects of the files.

Columns are enterprise, mid-market, small business and freemium; the trial plan answers as freemium does, but for the
rows that have a fifth column. `no(text)` promises nothing: the value is None, and its label is the text.
"""

from datetime import timedelta
from decimal import Decimal

from entitlements import NOT_INCLUDED, UNLIMITED

NO = NOT_INCLUDED
D = Decimal


class no(str):  # noqa: N801 - reads as a word of the tables
    """No commitment: the value is None, its label is this text."""

    __slots__ = ()


def hours(n: int) -> timedelta:
    return timedelta(hours=n)


def days(n: int) -> timedelta:
    return timedelta(days=n)


def minutes(n: int) -> timedelta:
    return timedelta(minutes=n)


def span(first: object, last: object, **more: object) -> dict[str, object]:
    return {"from": first, "to": last, **more}


def price(amount: int, per: str, **more: object) -> dict[str, object]:
    return {"price": D(amount), "per": per, **more}


# --- What is enforced ---------------------------------------------------------------------------------------------

GB = 10**9
LIMITS = {
    "agents": (UNLIMITED, 100, 10, 3),
    "leads": (UNLIMITED, 100_000, 5_000, 100),
    "storage": (UNLIMITED, 100 * GB, 10 * GB, 1 * GB),
    "api": (10_000, 1_000, 100, 0),
    "custom-dashboards": (UNLIMITED, 5, 0, 0),
    "standard-reports": (UNLIMITED, UNLIMITED, 10, 5),
    "custom-reports": (UNLIMITED, 10, 5, 5),
}
SWITCHES = {
    "email-notifications": (True, True, True, True),
    "api-access": (True, True, True, False),
    "sso": (True, False, False, False),
    "white-label": (True, False, False, False),
    "dedicated-database": (True, False, False, False),
    "custom-sla": (True, False, False, False),
    "beta-program": (True, False, False, False),
    "team-collaboration": (True, True, False, False),
    "early-access": (True, True, False, False),
}
LEVELS = {
    "lead-management": ("full", "full", "full", "basic", "full"),
    "lead-routing": ("full", "full", "full", "basic", "full"),
    "integrations": ("custom", "standard", "basic", "none"),
    "analytics": ("advanced", "standard", "none", "none"),
    "branding": ("white-label", "basic", "none", "none"),
    "customization": ("standard", "standard", "basic", "limited"),
    "security": ("advanced", "standard", "basic", "basic"),
}
ORDER = {
    "lead-management": ("basic", "full"),
    "lead-routing": ("basic", "full"),
    "integrations": ("none", "basic", "standard", "custom"),
    "analytics": ("none", "standard", "advanced"),
    "branding": ("none", "basic", "white-label"),
    "customization": ("limited", "basic", "standard"),
    "security": ("basic", "standard", "advanced"),
}

# --- What is promised beside it: configuration values -------------------------------------------------------------

SUMMARY = {
    "segment.annual-value": (
        {"from": D(100_000)},
        {"from": D(25_000), "below": D(100_000)},
        {"from": D(5_000), "below": D(25_000)},
        {"from": D(0), "below": D(5_000)},
        span(D(0), D(0)),
    ),
    "segment.customers": (span(D(1), D(5)), span(D(10), D(20)), span(D(50), D(100)), "unlimited"),
    "csm.ratio": ("1:1", "1:5", "1:20", NO),
    "csm.model": ("dedicated", "shared", "grouped", "none"),
    "csm.label": ("1:1 Dedicated", "1:5 Shared", "1:20 Grouped", "Automated"),
    "csm.customers-per-csm": (D(1), D(5), D(20), NO),
    "support.response": (hours(2), hours(4), hours(24), no("48+ hours")),
    "segment.focus": ("Strategic partnership", "Growth & adoption", "Self-service enablement", "Conversion to paid"),
}
PROFILES = {
    "segment.agents": ({"from": D(100)}, span(D(10), D(99)), span(D(1), D(9)), span(D(1), D(3))),
    "segment.leads": ({"from": D(10_000)}, span(D(1_000), D(9_999)), span(D(0), D(999)), span(D(0), D(99))),
    "segment.integrations": ("complex", "standard", "basic", "none"),
    "segment.industries": (
        ("enterprise-brokerage", "carrier"),
        ("regional-agency",),
        ("local-agency", "independent"),
        ("any",),
    ),
    "segment.regions": (
        ("multiple-locations", "multiple-states"),
        ("single-region", "multiple-states"),
        ("single-location",),
        ("any",),
    ),
    "segment.target-customers": (
        (
            "Large insurance brokerages",
            "National carriers",
            "Agencies with several locations",
            "Companies that generate many leads",
        ),
        (
            "Regional insurance agencies",
            "Brokerages that grow",
            "Carriers of middle size",
            "Specialized insurance firms",
        ),
        ("Local insurance agencies", "Independent agents", "Small brokerages", "Startups"),
        (
            "Prospects who evaluate the platform",
            "Small agencies that try it out",
            "Individual agents",
            "Students and researchers",
        ),
    ),
    "segment.characteristics": (
        ("High lead volume", "Complex integrations", "Many stakeholders and departments", "Strategic relationship"),
        ("Moderate lead volume", "Standard integrations", "Few stakeholders", "Set on growth"),
        ("Low to moderate lead volume", "Basic integrations", "One person decides", "Careful with costs"),
        ("Limited lead volume", "No integrations", "One user", "Exploring"),
    ),
}
CUSTOMER_SUCCESS = {
    "csm.technical-account-manager": (True, False, False, False),
    "csm.technical-account-manager-for": ("complex integrations", NO, NO, NO),
    "csm.technical-support": (NO, "as needed", NO, NO),
    "csm.executive-sponsor": (True, False, False, False),
    "csm.executive-sponsor-level": ("VP", NO, NO, NO),
    "csm.check-ins": ("weekly, as needed", "bi-weekly during onboarding", NO, NO),
    "csm.webinars": (NO, NO, "quarterly", "monthly"),
    "csm.newsletters": (NO, NO, "monthly", NO),
    "csm.emails": (NO, NO, NO, "drip campaigns"),
    "csm.documentation": (NO, NO, NO, "self-service"),
    "reviews.weekly": (True, "bi-weekly in month 1 only", False, False),
    "reviews.monthly": (True, True, False, False),
    "reviews.monthly-level": ("operational", "operational", NO, NO),
    "reviews.quarterly": (True, "with manager approval", False, False),
    "reviews.quarterly-level": ("strategic", "strategic", NO, NO),
    "reviews.annual": (True, False, False, False),
}
SUPPORT = {
    "support.resolution": (hours(24), hours(48), hours(72), NO),
    "support.hours": ("24/7", "8am-8pm ET", "8am-8pm ET", NO),
    "support.around-the-clock": (True, False, False, False),
    "support.phone": ("24/7", "business-hours", "add-on", "none"),
    "support.phone-scope": ("critical issues", NO, NO, NO),
    "support.chat": ("available", "available", "business-hours", "none"),
    "support.chatbot": (NO, NO, NO, "basic assistance"),
    "support.email": ("priority", "priority", "primary", "none"),
    "support.primary-channel": (NO, NO, "email", "community"),
    "support.queue": ("dedicated", "priority", "standard", "community"),
    "support.routing": ("priority", NO, NO, NO),
    "support.on-site": ("as needed", NO, NO, NO),
    "support.on-site-visits": ("quarterly", NO, NO, NO),
    "support.technical-account-manager": ("complex issues", NO, NO, NO),
    "support.knowledge-base": ("full", "full", "full", "full"),
    "support.community": ("peer support", "peer support", "peer support", "primary"),
    "support.video-tutorials": (NO, NO, "self-service", "available"),
    "support.faq": (NO, NO, NO, "available"),
    "support.premium": ("add-on", "add-on", NO, NO),
    "extras.training": ("add-on", "add-on", "add-on", NO),
    "extras.on-site-visits": ("add-on", NO, NO, NO),
    "extras.custom-development": ("add-on", NO, NO, NO),
}
ONBOARDING = {
    "onboarding.duration": (
        span(days(30), days(45)),
        span(days(30), days(40)),
        span(days(20), days(30)),
        no("Self-paced"),
    ),
    "onboarding.kickoff": ("in-person preferred", "virtual or in person", "virtual", "none"),
    "onboarding.kickoff-duration": (NO, NO, minutes(30), NO),
    "onboarding.self-guided": (NO, NO, True, True),
    "onboarding.specialist": ("full-time", "part-time", False, False),
    "onboarding.specialist-scope": (NO, "assigned to several customers", NO, NO),
    "onboarding.training": ("custom", "standard", "self-guided", "videos"),
    "onboarding.training-scope": ("tailored to the organization", "virtual sessions", NO, NO),
    "onboarding.workshops": ("on-site or virtual", "virtual", NO, NO),
    "onboarding.migration": ("full-service", "templates", "self-service", no("N/A")),
    "onboarding.integration": ("comprehensive", "standard templates", NO, NO),
    "onboarding.uat": ("dedicated QA resources", "remote assistance", NO, NO),
    "onboarding.videos": (NO, NO, "pre-recorded modules", "all"),
    "onboarding.documentation": (NO, NO, "comprehensive guides", "complete"),
    "onboarding.templates": (NO, NO, True, False),
    "onboarding.webinars": (NO, NO, "weekly", NO),
    "onboarding.walkthroughs": (NO, NO, NO, "in-product"),
}
ACTIVITIES = {
    "activities.health-score": ("daily", "weekly", "monthly", NO),
    "activities.usage-analytics": ("weekly", "bi-weekly", "monthly", NO),
    "activities.adoption": ("weekly", "monthly", "quarterly", NO),
    "activities.opportunity": ("monthly", "quarterly", "semi-annually", NO),
    "activities.risk": ("weekly", "monthly", NO, NO),
    "activities.planning": ("quarterly", "semi-annually", NO, NO),
    "activities.roadmap": ("annually", NO, NO, NO),
    "activities.education": (NO, NO, "weekly", NO),
    "activities.usage-monitoring": (NO, NO, NO, "automated"),
    "activities.abandonment": (NO, NO, NO, "automated"),
    "activities.conversion-triggers": (NO, NO, NO, "automated"),
    "activities.outreach": (NO, NO, NO, "based on behavior"),
}
ADVOCACY = {
    "advocacy.advisory-board": ("guaranteed", "based on availability", False, False),
    "advocacy.case-studies": ("priority", "available", "possible", False),
    "advocacy.references": ("priority", "available", "possible", False),
    "advocacy.speaking": ("available", "limited", False, False),
    "advocacy.press": ("available", NO, NO, NO),
    "advocacy.partner-program": ("eligible", NO, NO, NO),
    "advocacy.community": (NO, "encouraged", "encouraged", "encouraged"),
    "advocacy.testimonials": (NO, NO, "encouraged", "encouraged"),
}
HEALTH = {
    "health.weights.engagement": (D(25), D(30), D(40), NO),
    "health.weights.success": (D(35), D(30), D(25), NO),
    "health.weights.satisfaction": (D(20), D(20), D(20), NO),
    "health.weights.financial": (D(20), D(20), D(15), NO),
    "health.measures.engagement": (*(("Login frequency", "Feature usage"),) * 3, NO),
    "health.measures.success": (
        ("KPI achievement", "Goal attainment"),
        ("KPI achievement", "Goal attainment"),
        ("KPI achievement",),
        NO,
    ),
    "health.measures.satisfaction": (("CSAT", "NPS", "Ticket satisfaction"), ("CSAT", "NPS"), ("CSAT", "NPS"), NO),
    "health.measures.financial": (
        ("Payment history", "Expansion revenue"),
        ("Payment history",),
        ("Payment history",),
        NO,
    ),
}
METRICS = {
    "kpis": (
        (
            "Lead volume and quality",
            "Conversion rates",
            "Agent performance",
            "Response times",
            "Revenue generated",
            "Cost savings",
            "User adoption",
            "Feature usage",
            "Support satisfaction",
            "NPS score",
        ),
        (
            "Lead volume and quality",
            "Conversion rates",
            "Agent performance",
            "Response times",
            "Revenue generated",
            "User adoption",
            "Feature usage",
            "Support satisfaction",
            "NPS score",
        ),
        ("Lead volume", "Basic conversion rates", "User adoption", "Feature usage", "Support satisfaction"),
        NO,
    ),
    "conversion-metrics": (
        NO,
        NO,
        NO,
        (
            "Trial sign-ups",
            "Trial to paid conversion rate",
            "Freemium to paid conversion rate",
            "Activation rate",
            "Feature usage",
            "Engagement duration",
            "Drop-off points",
        ),
    ),
}
FEE = "available for a fee"
PRICING = {
    "pricing.annual-minimum": (D(100_000), D(25_000), D(5_000), D(0)),
    "pricing.typical-range": (
        span(D(100_000), D(500_000), **{"open-ended": True}),
        span(D(25_000), D(100_000)),
        span(D(5_000), D(25_000)),
        span(D(0), D(0)),
    ),
    "pricing.components.platform-fee.minimum": (D(100_000), D(25_000), D(5_000), NO),
    "pricing.components.platform-fee.typical": (
        span(D(100_000), D(500_000), **{"open-ended": True}),
        span(D(25_000), D(99_999)),
        span(D(5_000), D(24_999)),
        NO,
    ),
    "pricing.components.professional-services.minimum": ("included", "included", NO, NO),
    "pricing.components.professional-services.typical": (
        span(D(20_000), D(100_000)),
        span(D(5_000), D(15_000)),
        NO,
        NO,
    ),
    "pricing.components.custom-integrations.minimum": ("quote", NO, NO, NO),
    "pricing.components.custom-integrations.typical": (span(D(10_000), D(200_000)), NO, NO, NO),
    "pricing.components.training.minimum": ("included", "included", "self-service", NO),
    "pricing.components.training.typical": (span(D(5_000), D(20_000)), "included", FEE, NO),
    "pricing.components.data-migration.minimum": ("included", "self-service", NO, NO),
    "pricing.components.data-migration.typical": (span(D(5_000), D(50_000)), FEE, NO, NO),
    "pricing.components.onboarding.minimum": (NO, NO, "self-service", NO),
    "pricing.components.onboarding.typical": (NO, NO, FEE, NO),
    "pricing.additional.on-site-visits": (price(2_000, "day", plus="expenses"), NO, NO, NO),
    "pricing.additional.custom-development": (price(200, "hour"), NO, NO, NO),
    "pricing.additional.training": (price(1_000, "day"), price(500, "session"), price(200, "session"), NO),
    "pricing.additional.premium-support": (
        {"percent": D(20), "of": "annual fee"},
        {"percent": D(25), "of": "annual fee"},
        NO,
        NO,
    ),
    "pricing.additional.custom-reports": (NO, price(200, "report"), NO, NO),
    "pricing.additional.phone-support": (NO, NO, price(500, "year"), NO),
    "pricing.additional.priority-support": (NO, NO, price(1_000, "year"), NO),
    "pricing.cost": (NO, NO, NO, D(0)),
    "pricing.duration": (NO, NO, NO, "unlimited", span(days(14), days(30))),
    "pricing.feature-access": (NO, NO, NO, "limited", "full"),
    "pricing.support-sla": (NO, NO, NO, False),
    "trial.duration": (NO, NO, NO, NO, span(days(14), days(30), default=days(14))),
}
SLA = {
    "sla.p1.response": (hours(2), hours(4), hours(8), no("N/A")),
    "sla.p2.response": (hours(4), hours(8), hours(24), no("N/A")),
    "sla.p3.response": (hours(24), hours(24), hours(48), no("48+ hours")),
    "sla.p4.response": (hours(48), hours(72), hours(72), no("72+ hours")),
    "sla.p1.resolution": (hours(24), hours(48), hours(72), no("N/A")),
    "sla.p2.resolution": (hours(48), hours(72), days(7), no("N/A")),
    "sla.p3.resolution": (days(7), days(14), days(14), no("Best effort")),
    "sla.p4.resolution": (days(14), days(21), days(30), no("Best effort")),
    "sla.p1.response-clock": ("24/7", "support-hours", "support-hours", NO),
    "sla.p2.response-clock": ("support-hours", "support-hours", "support-hours", NO),
    "sla.p3.response-clock": ("support-hours", "support-hours", "support-hours", NO),
    "sla.p4.response-clock": ("support-hours", "support-hours", "support-hours", NO),
    "sla.p1.resolution-clock": ("24/7", "support-hours", "support-hours", NO),
    "sla.p2.resolution-clock": ("support-hours", "support-hours", "calendar", NO),
    "sla.p3.resolution-clock": ("calendar", "calendar", "calendar", NO),
    "sla.p4.resolution-clock": ("calendar", "calendar", "calendar", NO),
    "sla.p1.name": ("Critical",) * 4,
    "sla.p2.name": ("High",) * 4,
    "sla.p3.name": ("Medium",) * 4,
    "sla.p4.name": ("Low",) * 4,
    "sla.p1.example": ("System down",) * 4,
    "sla.p2.example": ("Major feature unavailable",) * 4,
    "sla.p3.example": ("Minor issue",) * 4,
    "sla.p4.example": ("Question",) * 4,
    "sla.clock.zone": ("America/New_York",) * 3 + (NO,),
    "sla.clock.opens": ("08:00",) * 3 + (NO,),
    "sla.clock.closes": ("20:00",) * 3 + (NO,),
    "sla.clock.days": (("monday", "tuesday", "wednesday", "thursday", "friday"),) * 3 + (NO,),
    "uptime.guarantee": (D("99.95"), D("99.9"), D("99.5"), no("Best effort")),
    "uptime.credits": (
        (
            {"below": D("99.95"), "credit": D(10)},
            {"below": D("99.9"), "credit": D(25)},
            {"below": D("99.5"), "credit": D(50)},
        ),
        (
            {"below": D("99.9"), "credit": D(10)},
            {"below": D("99.5"), "credit": D(25)},
            {"below": D(99), "credit": D(50)},
        ),
        ({"below": D("99.5"), "credit": D(10)}, {"below": D(99), "credit": D(25)}),
        (),
    ),
}
TRANSITIONS = {
    "transition.review": ("quarterly",) * 4,
    "transition.notice": (days(90), days(60), days(30), NO),
    "transition.downgrade-to": ("mid-market", "small-business", "freemium", NO),
    "transition.downgrade-triggers": (
        ("Renewal with a smaller commitment", "Business got smaller", "Merger or acquisition"),
        ("Renewal with a smaller commitment", "Less usage needed", "Budget constraints"),
        ("Paid subscription not renewed", "Business closed", "Other business model"),
        NO,
    ),
    "transition.process": (
        (
            "Notice of 90 days",
            "Impact assessment",
            "Service levels adjusted",
            "Plan for handing over between teams",
            "Efforts to retain the customer",
        ),
        (
            "Notice of 60 days",
            "Features adjusted",
            "Support through the transition",
            "Efforts to retain the customer",
        ),
        (
            "Notice of 30 days",
            "Help with exporting data",
            "Move to freemium where wanted",
            "Efforts to win the customer back",
        ),
        NO,
    ),
    "transition.upgrade.to": (NO, "enterprise", "mid-market", "small-business"),
    "transition.upgrade.potential-above": (NO, D(100_000), D(25_000), NO),
    "transition.upgrade.locations-above": (NO, D(1), NO, NO),
    "transition.upgrade.departments-above": (NO, D(1), NO, NO),
    "transition.upgrade.supporting": (NO, ("locations", "departments"), NO, NO),
    "onboarding.customers-per-specialist": (D(1), D(4), NO, NO),
    "support-cases.threshold": (D(5), NO, NO, NO),
    "schedule.reviews.weekly": ("Tactical check-in", "Check-in (month 1)", NO, NO),
    "schedule.reviews.monthly": ("Business review", "Business review", NO, NO),
    "schedule.reviews.quarterly": ("Strategic review", "Strategic review", NO, NO),
    "schedule.reviews.annual": ("Strategic planning", NO, NO, NO),
    "schedule.owners.onboarding": ("onboarding specialist", "onboarding specialist", NO, NO),
    "schedule.owners.visit": ("technical account manager", NO, NO, NO),
    "schedule.owners.touchpoint": (NO, NO, NO, "automation"),
    "schedule.owners.trial": (NO, NO, NO, "sales"),
    "schedule.owners.renewal": (NO, NO, NO, "sales"),
    "schedule.owners.tier-review": ("customer success operations",) * 4,
    "schedule.owners.change": ("customer success operations",) * 4,
    "schedule.exceptions": (
        (
            {"item": "Executive summit", "owner": "executive sponsor"},
            {"item": "health-score", "owner": "automation"},
        ),
        ({"item": "health-score", "owner": "automation"},),
        (
            {"item": "Newsletter", "owner": "automation"},
            {"item": "education", "owner": "automation"},
            {"item": "health-score", "owner": "automation"},
        ),
        NO,
    ),
    "transition.approaching": (NO, NO, NO, D(80)),
    "transition.events.renewal-with-less": ("downgrade", "downgrade", NO, NO),
    "transition.events.less-usage": (NO, "downgrade", NO, NO),
    "transition.events.budget-constraints": (NO, "downgrade", NO, NO),
    "transition.events.non-renewal": (NO, NO, "downgrade", NO),
    "transition.events.other-business-model": (NO, NO, "downgrade", NO),
    "transition.events.business-closed": ("close",) * 4,
    "transition.events.downsizing": ("downgrade", "downgrade", "downgrade", NO),
    "transition.events.merger": ("reassess", "reassess", "reassess", NO),
    "transition.events.acquisition": ("reassess", "reassess", "reassess", NO),
    "transition.events.expansion": ("upgrade",) * 4,
    "transition.events.strategic-partnership": ("upgrade",) * 4,
    "transition.events.brand-ambassador": ("benefits",) * 4,
    "transition.upgrade.outreach": (NO, NO, NO, hours(24)),
    "transition.upgrade.triggers": (
        NO,
        (
            "Limits of the tier exceeded",
            "An enterprise feature requested",
            "Potential annual value above 100,000",
            "Several locations or departments",
        ),
        (
            "Limits of the tier exceeded consistently",
            "A mid-market feature requested",
            "Potential annual value above 25,000",
        ),
        (
            "Limits exceeded in 2 consecutive months",
            "A paid feature requested",
            "Strong signs of wanting to convert",
        ),
    ),
    "transition.upgrade.process": (
        NO,
        (
            "Vice president of customer success takes part",
            "Strategic assessment",
            "Custom proposal",
            "Executive sponsorship",
            "Dedicated onboarding team",
        ),
        (
            "Customer success manager sees the opportunity",
            "Value demonstrated",
            "Upgrade proposal",
            "Presentation to executives",
            "Migration to the new tier",
        ),
        (
            "Automated notification",
            "Sales gets in touch within 24 hours",
            "Special offer for upgrading",
            "Move to the new tier",
        ),
    ),
    "transition.exceeded.percent": (NO, D(100), D(100), D(100)),
    "transition.exceeded.months": (NO, D(1), D(3), D(2)),
    "transition.exceeded.of": (NO, D(1), D(3), D(2)),
    "transition.process-owners": (
        ("CSM", "CSM", "CSM", "Manager", "VP Customer Success"),
        ("CSM",) * 4,
        ("CSM", "Support", "Support", "Marketing"),
        NO,
    ),
    "transition.upgrade.process-owners": (
        NO,
        ("VP Customer Success", "VP Customer Success", "Sales", "Executive sponsor", "Onboarding specialist"),
        ("CSM", "CSM", "Sales", "Sales", "CSM"),
        ("Product", "Sales", "Sales", "Support"),
    ),
    "transition.upgrade.process-within": (NO, NO, NO, (hours(1), hours(24), days(7), days(14))),
    "transition.underused.percent": (D(25), D(25), D(25), NO),
    "transition.underused.months": (D(3), D(3), D(3), NO),
    "transition.underused.of": (D(3), D(3), D(3), NO),
}


def scale(zero: int, full: int) -> dict[str, D]:
    """Return the scale of a measure: the figures that score 0 and 100."""
    return {"zero": D(zero), "full": D(full)}


EXAMPLES = {
    "segment.service-budget": (D(250_000), D(200_000), D(120_000), D(12_000)),
    "activities.abandonment-after": (NO, NO, NO, days(45)),
    "health.trend-months": (D(3), D(3), D(3), NO),
    "health.risk.high-below": (D(60), D(50), D(40), NO),
    "health.risk.medium-below": (D(75), D(70), D(60), NO),
    "health.risk.fall": (D(10), D(10), D(15), NO),
    "health.scales.engagement.logins": (scale(0, 20), scale(0, 20), scale(0, 15), NO),
    "health.scales.engagement.feature-usage": (scale(0, 80), scale(0, 80), scale(0, 70), NO),
    "health.scales.success.kpi-achievement": (scale(0, 100), scale(0, 100), scale(0, 100), NO),
    "health.scales.success.goal-attainment": (scale(0, 100), scale(0, 100), NO, NO),
    "health.scales.satisfaction.csat": (scale(1, 5), scale(1, 5), scale(1, 5), NO),
    "health.scales.satisfaction.nps": (scale(-100, 100), scale(-100, 100), scale(-100, 100), NO),
    "health.scales.satisfaction.ticket-satisfaction": (scale(1, 5), NO, NO, NO),
    "health.scales.financial.days-late": (scale(60, 0), scale(60, 0), scale(60, 0), NO),
    "health.scales.financial.expansion": (scale(0, 20), NO, NO, NO),
}
"""Figures of ours, which the document does not give."""

VALUES = (
    EXAMPLES
    | SUMMARY
    | PROFILES
    | CUSTOMER_SUCCESS
    | SUPPORT
    | ONBOARDING
    | ACTIVITIES
    | ADVOCACY
    | HEALTH
    | METRICS
    | PRICING
    | SLA
    | TRANSITIONS
)

TOUCHPOINTS = {
    "enterprise": (
        ("weekly", "Tactical check-in", "Day-to-day", minutes(30)),
        ("monthly", "Business review", "Managers", minutes(60)),
        ("quarterly", "Strategic review", "Executives", minutes(90)),
        ("semi-annually", "Executive summit", "C-level", hours(2)),
        ("annually", "Strategic planning", "Executives", hours(2)),
    ),
    "mid-market": (
        ("bi-weekly", "Check-in (month 1)", "Day-to-day", minutes(30)),
        ("monthly", "Business review", "Managers", minutes(45)),
        ("quarterly", "Strategic review", "Managers", minutes(60)),
        ("bi-annually", "Executive review", "Executives", minutes(60)),
    ),
    "small-business": (
        ("monthly", "Newsletter", "All users", "email"),
        ("quarterly", "Webinar", "All users", minutes(60)),
        ("bi-annually", "Check-in", "Primary contact", minutes(30)),
        ("as needed", "Email support", "Primary contact", "async"),
    ),
    "freemium": (
        ("daily", "Product tips", None, "email"),
        ("weekly", "Best practices", None, "email"),
        ("bi-weekly", "Feature spotlight", None, "email"),
        ("monthly", "Webinar invitation", None, "email"),
        ("as needed", "In-app prompts", None, "in-product"),
    ),
}
TOUCHPOINTS["trial"] = TOUCHPOINTS["freemium"]

KEY_TREE = """
    segment.{customers,focus}
    csm.{model,ratio,label,technical-account-manager,executive-sponsor}
    reviews.{weekly,monthly,quarterly,annual}
    support.{response,hours,phone,chat,email,queue,on-site,knowledge-base,community}
    sla.p1.{response,resolution} sla.p2.{response,resolution} sla.p3.{response,resolution} sla.p4.{response,resolution}
    uptime.{guarantee,credits}
    onboarding.{duration,kickoff,specialist,training,workshops,migration,integration,uat}
    touchpoints
    activities.{health-score,usage-analytics,adoption,opportunity,risk,planning,roadmap,education}
    advocacy.{advisory-board,case-studies,references,speaking,press,partner-program,community,testimonials}
    health.weights.{engagement,success,satisfaction,financial}
    kpis conversion-metrics
    pricing.{annual-minimum,typical-range,components,additional}
    transition.{notice,process}
    trial.{duration}
"""

# --- Add-ons: tier, key, the tier's value, the buyer's value -------------------------------------------------------

ADD_ONS = {
    "phone-support": {"small-business": ("support.phone", "add-on", "business-hours")},
    "priority-support": {"small-business": ("support.queue", "standard", "priority")},
    "premium-support": {
        "mid-market": ("support.premium", "add-on", "included"),
        "enterprise": ("support.premium", "add-on", "included"),
    },
    "training": {
        "small-business": ("extras.training", "add-on", "included"),
        "mid-market": ("extras.training", "add-on", "included"),
        "enterprise": ("extras.training", "add-on", "included"),
    },
    "on-site-visits": {"enterprise": ("extras.on-site-visits", "add-on", "included")},
    "custom-development": {"enterprise": ("extras.custom-development", "add-on", "included")},
}
PRICES = {
    "phone-support": "500 per year",
    "priority-support": "1000 per year",
    "premium-support": "25 % of the annual fee on mid-market, 20 % on enterprise",
    "custom-reports": "200 per report",
    "training": "200 per session on small-business, 500 per session on mid-market, 1000 per day on enterprise",
    "on-site-visits": "2000 per day, plus expenses",
    "custom-development": "200 per hour",
}
