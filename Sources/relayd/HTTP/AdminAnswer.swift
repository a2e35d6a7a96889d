import FoundationEssentials
import HTTPTypes
import HummingbirdCore
import NIOCore

/// What one request gets.
struct AdminAnswer: Sendable {
    let status: HTTPResponse.Status
    let body: ResponseBody
    private let contentType: String
    private let more: HTTPFields

    init(_ status: HTTPResponse.Status, _ text: String, _ more: HTTPFields = [:]) {
        self.init(status, text, contentType: "text/plain; charset=utf-8", more)
    }

    init(_ status: HTTPResponse.Status, _ text: String, contentType: String, _ more: HTTPFields = [:]) {
        self.status = status
        body = ResponseBody(byteBuffer: ByteBuffer(string: text))
        self.contentType = contentType
        self.more = more
    }

    /// A value as JSON.
    init(_ status: HTTPResponse.Status = .ok, json value: some Encodable) {
        self.init(status, Self.text(json: value), contentType: "application/json")
    }

    /// A body that goes on.
    init(stream body: ResponseBody, contentType: String) {
        status = .ok
        self.body = body
        self.contentType = contentType
        more = [:]
    }

    /// A value as one line of JSON, its keys in snake_case and in order, so that two answers can be compared.
    static func text(json value: some Encodable) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        guard let data = try? encoder.encode(value) else { preconditionFailure("an answer that is no JSON") }
        return String(decoding: data, as: UTF8.self) + "\n"
    }

    var headers: HTTPFields {
        var fields = more
        fields[.contentType] = contentType
        if let count = body.contentLength { fields[.contentLength] = "\(count)" }
        fields[.cacheControl] = "no-store"
        fields[.xContentTypeOptions] = "nosniff"
        return fields
    }
}
