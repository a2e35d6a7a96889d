import HTTPTypes

/// The page for people, as its files say. Embedded in the program; nothing of it comes from elsewhere.
enum Dashboard {
    private static let policy =
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

    static let paths: Set = ["/", "/dashboard.css", "/dashboard.js"]

    /// The page and its parts; none of them says anything about this relay.
    static func answer(at path: String) -> AdminAnswer? {
        switch path {
        case "/": answer(PackageResources.index_html, "text/html")
        case "/dashboard.css": answer(PackageResources.dashboard_css, "text/css")
        case "/dashboard.js": answer(PackageResources.dashboard_js, "text/javascript")
        default: nil
        }
    }

    private static func answer(_ bytes: [UInt8], _ type: String) -> AdminAnswer {
        AdminAnswer(
            .ok, String(decoding: bytes, as: UTF8.self), contentType: type + "; charset=utf-8",
            [.contentSecurityPolicy: policy])
    }
}
