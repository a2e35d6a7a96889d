import FoundationEssentials
import HTTPTypes

/// What one request gets.
struct AdminAnswer {
    let status: HTTPResponse.Status
    let text: String
    private let contentType: String
    private let more: HTTPFields

    init(_ status: HTTPResponse.Status, _ text: String, _ more: HTTPFields = [:]) {
        self.init(status, text, contentType: "text/plain; charset=utf-8", more)
    }

    init(_ status: HTTPResponse.Status, _ text: String, contentType: String, _ more: HTTPFields = [:]) {
        self.status = status
        self.text = text
        self.contentType = contentType
        self.more = more
    }

    /// A value as JSON, its keys in order, so that two answers can be compared.
    init(_ status: HTTPResponse.Status = .ok, json value: some Encodable) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        guard let data = try? encoder.encode(value) else { preconditionFailure("an answer that is no JSON") }
        self.init(status, String(decoding: data, as: UTF8.self) + "\n", contentType: "application/json")
    }

    var headers: HTTPFields {
        var fields = more
        fields[.contentType] = contentType
        fields[.contentLength] = "\(text.utf8.count)"
        fields[.cacheControl] = "no-store"
        return fields
    }
}
