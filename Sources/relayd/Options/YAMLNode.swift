// Unsafe code: libyaml's document is a C structure that owns its nodes. It is walked once, into values, and freed.
import CYAML

/// A YAML document as values: what libyaml found, with the line of each key.
indirect enum YAMLNode {
    /// One line of a mapping.
    struct Pair {
        let key: String
        /// From 1.
        let line: Int
        let value: YAMLNode
    }

    case scalar(String)
    case sequence([YAMLNode])
    case mapping([Pair])

    /// The text of a scalar.
    var scalarText: String? {
        if case .scalar(let text) = self { text } else { nil }
    }

    /// Why a text is no YAML.
    struct SyntaxError: Error, CustomStringConvertible {
        let line: Int
        let description: String
    }

    /// Parses the first document of `text`; nothing for an empty one.
    static func parse(_ text: String) throws(SyntaxError) -> YAMLNode? {
        var parser = yaml_parser_t()
        yaml_parser_initialize(&parser)
        defer { yaml_parser_delete(&parser) }
        var text = text
        var document = yaml_document_t()
        let isLoaded = text.withUTF8 { bytes in
            yaml_parser_set_input_string(&parser, bytes.baseAddress, bytes.count)
            return yaml_parser_load(&parser, &document) == 1
        }
        guard isLoaded else {
            let problem = parser.problem.map { String(cString: $0) } ?? "it cannot be read"
            throw SyntaxError(line: Int(parser.problem_mark.line) + 1, description: problem)
        }
        defer { yaml_document_delete(&document) }
        guard let root = yaml_document_get_root_node(&document) else { return nil }
        return read(root.pointee, of: &document, levels: 2)
    }

    /// - Parameter levels: how deep to look into sequences and mappings; below they are empty. An anchor may hold itself,
    ///   or others many times over, so there is no bottom to rely on, and no option is deeper than a list.
    private static func read(_ node: yaml_node_t, of document: inout yaml_document_t, levels: Int) -> YAMLNode {
        switch node.type {
        case YAML_SEQUENCE_NODE where levels == 0: return .sequence([])
        case YAML_MAPPING_NODE where levels == 0: return .mapping([])
        case YAML_SEQUENCE_NODE:
            let items = node.data.sequence.items
            return .sequence(
                (0..<count(items.start, items.top)).compactMap { index in
                    yaml_document_get_node(&document, items.start[index]).map {
                        read($0.pointee, of: &document, levels: levels - 1)
                    }
                })
        case YAML_MAPPING_NODE:
            let pairs = node.data.mapping.pairs
            return .mapping(
                (0..<count(pairs.start, pairs.top)).compactMap { index in
                    let pair = pairs.start[index]
                    guard let key = yaml_document_get_node(&document, pair.key),
                        let value = yaml_document_get_node(&document, pair.value)
                    else { return nil }
                    return Pair(
                        key: text(of: key.pointee), line: Int(key.pointee.start_mark.line) + 1,
                        value: read(value.pointee, of: &document, levels: levels - 1))
                })
        default:
            return .scalar(text(of: node))
        }
    }

    private static func text(of node: yaml_node_t) -> String {
        guard node.type == YAML_SCALAR_NODE else { return "?" }
        let scalar = node.data.scalar
        return String(decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
    }

    private static func count<Item>(_ start: UnsafeMutablePointer<Item>?, _ top: UnsafeMutablePointer<Item>?) -> Int {
        guard let start, let top else { return 0 }
        return top - start
    }
}
